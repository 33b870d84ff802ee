"""PostgreSQL 15, of Debian."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from tests.servers.database import PASSWORD, USER, DatabaseServer
from tests.servers.process import HOST, certificate_for, make_data, needs_program, private_directory, running


@contextmanager
def postgresql(certificate: Path | None = None, listen: str = HOST) -> Iterator[DatabaseServer]:
    """PostgreSQL for the block, with nothing in it; it asks for the password, and waits for no disk.

    :param certificate: it speaks TLS with this one, whose key stands beside it as ``.key``; None: it speaks none.
    :param listen: the address on which it listens; whatever it is, 127.0.0.1 has to reach it.
    """
    programs = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")
    initdb = needs_program("initdb", "postgresql-15", *programs)
    postgres = needs_program("postgres", "postgresql-15", *programs)
    with private_directory("postgres") as directory:
        make_data(lambda place: _initdb(initdb, place), directory, "postgres")
        if listen != HOST:
            with (directory / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        tls = certificate_for(certificate, directory, "postgres") if certificate else None
        with running(
            "PostgreSQL",
            lambda port: _command(postgres, directory, port, tls, listen),
            directory,
            user="postgres",
            is_ready=_answers,
            stop_signal=signal.SIGINT,  # fast: sessions are ended, not waited for
            end_signal=signal.SIGQUIT,  # at once, but for what it has of the system
        ) as server:

            def execute(statement: str) -> None:
                with _connect(server.port) as connection:
                    connection.execute(sql.SQL(statement))  # type: ignore[arg-type]

            yield DatabaseServer("postgresql", server, execute)


def partitioned(url: str, days: Iterable[int] = range(-1, 3)) -> str:
    """The URL, whose table has partitions now.

    :param days: which days have one; 0 is today.
    """
    today = datetime.now(UTC).date()
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        partitions = chest.partitions()
        assert partitions is not None
        partitions.make([today + timedelta(days=day) for day in days])
    return url


def _initdb(program: str, place: Path) -> list[str]:
    (place / "password").write_text(PASSWORD)
    (place / "password").chmod(0o644)
    return [
        program, "-D", f"{place}/data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={place}/password",
        "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
    ]  # fmt: skip


def _command(postgres: str, directory: Path, port: int, tls: tuple[Path, Path] | None, listen: str) -> list[str]:
    options = {
        "listen_addresses": listen,
        "unix_socket_directories": str(directory),
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        **({"ssl": "on", "ssl_cert_file": str(tls[0]), "ssl_key_file": str(tls[1])} if tls else {}),
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [postgres, "-D", f"{directory}/data", "-p", str(port), *settings]


def _connect(port: int) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST, port=port, user=USER, password=PASSWORD, dbname="postgres", connect_timeout=5, autocommit=True
    )


def _answers(port: int) -> bool:
    try:
        _connect(port).close()
    except psycopg.OperationalError:
        return False
    return True
