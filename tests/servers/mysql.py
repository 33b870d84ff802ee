"""What MariaDB and MySQL 5.7 have in common: how their data is made is their own, how they are run and asked is not."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pymysql

from tests.servers.database import PASSWORD, USER, DatabaseServer
from tests.servers.process import HOST, running

ACCOUNT: Final = f"""\
CREATE USER IF NOT EXISTS '{USER}'@'{HOST}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{USER}'@'{HOST}' WITH GRANT OPTION;
"""
"""Statements for the server's ``--init-file``: one line each."""


@contextmanager
def running_mysql(
    name: str, program: str, directory: Path, options: Sequence[str], user: str | None
) -> Iterator[DatabaseServer]:
    """A server of this family for the block, over the data that was made in ``directory``."""
    (directory / "init.sql").write_text(ACCOUNT)
    (directory / "init.sql").chmod(0o644)
    common = [
        f"--datadir={directory}/data", f"--tmpdir={directory}", f"--socket={directory}/socket",
        f"--pid-file={directory}/pid", f"--init-file={directory}/init.sql", f"--bind-address={HOST}",
        "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
    ]  # fmt: skip
    with running(
        name,
        lambda port: [program, "--no-defaults", *common, f"--port={port}", *options],
        directory,
        user=user,
        is_ready=_answers,
        end_signal=signal.SIGKILL,  # it would write out what is thrown away
    ) as server:

        def execute(statement: str) -> None:
            with closing(_connect(server.port)) as connection:
                connection.cursor().execute(statement)

        yield DatabaseServer("mysql", server, execute)


def _connect(port: int) -> pymysql.Connection:
    return pymysql.connect(host=HOST, port=port, user=USER, password=PASSWORD, connect_timeout=5)


def _answers(port: int) -> bool:
    try:
        _connect(port).close()
    except pymysql.MySQLError:
        return False
    return True
