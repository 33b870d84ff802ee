"""MariaDB 10.11, of Debian."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.database import DatabaseServer
from tests.servers.mysql import running_mysql
from tests.servers.process import needs_program, private_directory, run_once


@contextmanager
def mariadb() -> Iterator[DatabaseServer]:
    """MariaDB for the block, with nothing in it; it asks for the password, speaks no TLS and waits for no disk."""
    install = needs_program("mariadb-install-db", "mariadb-server")
    program = needs_program("mariadbd", "mariadb-server")
    with private_directory("mysql") as directory:
        run_once(
            [
                install, "--no-defaults", f"--datadir={directory}/data", f"--tmpdir={directory}",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
            ],
            directory, "mysql",
        )  # fmt: skip
        with running_mysql("MariaDB", program, directory, ["--innodb-flush-method=nosync"], "mysql") as server:
            yield server
