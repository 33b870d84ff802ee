"""MariaDB 10.11, of Debian."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.database import DatabaseServer
from tests.servers.mysql import running_mysql
from tests.servers.process import certificate_for, make_data, needs_program, private_directory


@contextmanager
def mariadb(certificate: Path | None = None) -> Iterator[DatabaseServer]:
    """MariaDB for the block, with nothing in it; it asks for the password, and waits for no disk.

    :param certificate: it speaks TLS with this one, whose key stands beside it as ``.key``; None: it speaks none.
    """
    install = needs_program("mariadb-install-db", "mariadb-server")
    program = needs_program("mariadbd", "mariadb-server")
    with private_directory("mysql") as directory:
        make_data(
            lambda place: [
                install, "--no-defaults", f"--datadir={place}/data", f"--tmpdir={place}",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
            ],
            directory, "mysql",
        )  # fmt: skip
        options = ["--innodb-flush-method=nosync"]
        if certificate is not None:
            public, key = certificate_for(certificate, directory, "mysql")
            options += [f"--ssl-cert={public}", f"--ssl-key={key}"]
        with running_mysql("MariaDB", program, directory, options, "mysql") as server:
            yield server
