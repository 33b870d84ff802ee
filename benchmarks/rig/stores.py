"""The stores of ``bench_chests``: each a server that runs for a block, the chest on it, and its driver's own bulk insert."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy.engine import URL, make_url

from chest.chests.contract import Chest
from chest.chests.registry import open_chest
from chest.record.encoding import encode
from chest.record.record import Record
from tests.servers.database import DatabaseServer

Batches = Sequence[Sequence[Record]]
Bulk = Callable[[Batches], Callable[[], None]]
"""Takes batches, makes of them what the driver takes, and gives what stores that: only the latter is measured."""

_RIVAL: Final = "rival"
"""The name of the table that the driver writes to; made by Chest, so that it has the same columns and indexes."""


class Store(NamedTuple):
    """A store that runs, with nothing in it."""

    new_chest: Callable[[], Chest]
    bulk: Bulk
    bulk_name: str
    floor: float
    """The share of the driver's speed that the chest promises to reach."""


@contextmanager
def sqlite() -> Iterator[Store]:
    """SQLite; its own ``executemany``."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        path = Path(directory) / "chest.sqlite3"

        def bulk(batches: Batches) -> Callable[[], None]:
            rows = [[_row(record, "") for record in batch] for batch in batches]
            _make_rival(f"sqlite:///{path}")

            def store() -> None:
                with closing(sqlite3.connect(path)) as connection:
                    connection.execute("PRAGMA synchronous = NORMAL")
                    for batch in rows:
                        with connection:
                            connection.executemany(_insert("?", '"'), batch)

            return store

        yield Store(lambda: open_chest(f"sqlite:///{path}"), bulk, "executemany", 0.5)


@contextmanager
def postgresql() -> Iterator[Store]:
    """PostgreSQL; psycopg's COPY, which is the quickest that the server has."""
    import psycopg

    from tests.servers.postgresql import postgresql

    with postgresql() as server:
        url = server.new_url()

        def bulk(batches: Batches) -> Callable[[], None]:
            rows = [[_row(record, datetime.now(UTC)) for record in batch] for batch in batches]
            _make_rival(url)

            def store() -> None:
                with psycopg.connect(**_address(url, "dbname")) as connection, connection.cursor() as cursor:
                    for batch in rows:
                        with cursor.copy(f"COPY {_RIVAL} ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
                            for row in batch:
                                copy.write_row(row)
                        connection.commit()

            return store

        yield Store(lambda: open_chest(url), bulk, "COPY", 0.5)


@contextmanager
def mariadb() -> Iterator[Store]:
    """MariaDB; PyMySQL's ``executemany``."""
    from tests.servers.mariadb import mariadb

    with _mysql(mariadb()) as store:
        yield store


@contextmanager
def mysql57() -> Iterator[Store]:
    """MySQL 5.7; PyMySQL's ``executemany``."""
    from tests.servers.mysql57 import mysql57

    with _mysql(mysql57()) as store:
        yield store


_COLUMNS: Final = (*Record._fields, "stored_at")


@contextmanager
def _mysql(running: AbstractContextManager[DatabaseServer]) -> Iterator[Store]:
    import pymysql

    with running as server:
        url = server.new_url()

        def bulk(batches: Batches) -> Callable[[], None]:
            rows = [[_row(record, datetime.now(UTC).replace(tzinfo=None)) for record in batch] for batch in batches]
            _make_rival(url)

            def store() -> None:
                with closing(pymysql.connect(**_address(url, "database"))) as connection:
                    for batch in rows:
                        connection.cursor().executemany(_insert("%s", "`"), batch)
                        connection.commit()

            return store

        yield Store(lambda: open_chest(url), bulk, "executemany", 0.5)


def _row(record: Record, stored_at: Any) -> tuple[Any, ...]:
    return (
        *record[:10], encode(record.variables).decode(), encode(record.attributes).decode(), *record[12:], stored_at,
    )  # fmt: skip


def _insert(place: str, quote: str) -> str:
    names = ", ".join(f"{quote}{column}{quote}" for column in _COLUMNS)
    return f"INSERT INTO {_RIVAL} ({names}) VALUES ({', '.join([place] * len(_COLUMNS))})"


def _make_rival(url: str) -> None:
    with open_chest(f"{url}?table={_RIVAL}") as chest:
        chest.open()


def _address(text: str, database: str) -> dict[str, Any]:
    url: URL = make_url(text)
    return {"host": url.host, "port": url.port, "user": url.username, "password": url.password, database: url.database}
