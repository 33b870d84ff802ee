"""``PostgreSQLVariableIndexes``: indexes on the expressions that a filter asks for, made without holding up a writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.asking.conditions import Name
from chest.chests.sql.postgresql.asking import POSTGRESQL_WORDS
from chest.chests.sql.postgresql.connection import waiting_long
from chest.chests.sql.postgresql.partitions import is_partitioned
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.errors import SettingsError

if TYPE_CHECKING:
    from chest.chests.sql.postgresql.dialect import PostgreSQLDatabase

__all__ = ["PostgreSQLVariableIndexes"]

_MARK: Final = "chest: index on "
"""Begins the comment on an index, which says what it is on."""
_PARTITIONS: Final = """
    SELECT c.oid, c.oid::regclass::text FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
    WHERE inhparent = to_regclass(%s) AND NOT EXISTS (
        SELECT 1 FROM pg_index JOIN pg_inherits AS i ON i.inhrelid = indexrelid
        WHERE indrelid = c.oid AND i.inhparent = to_regclass(%s))"""
"""The partitions of a table that lack an index which its parent has."""
_FOUND: Final = """
    SELECT obj_description(i.indexrelid), sum(pg_relation_size(i.indexrelid)
        + (SELECT coalesce(sum(pg_relation_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = i.indexrelid))
    FROM pg_index AS i WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND starts_with(obj_description(i.indexrelid), %s) GROUP BY 1 ORDER BY 1"""


class PostgreSQLVariableIndexes(VariableIndexes):
    """Two for a name: on how its texts begin, and on its numbers, as ``42`` also asks for ``"42"``.

    Not on whole texts: PostgreSQL refuses a row of which an index would have to hold more than 2,704 bytes. And of no hash, as
    each write would walk along all rows that have the same value.

    A partitioned table cannot have one made while it is written. So its partitions get theirs one by one; that of the table is
    used as soon as all have it.

    :param database: the chest's.
    :param table: the chest's.
    """

    holds_up_writers: ClassVar[bool] = False

    def __init__(self, database: PostgreSQLDatabase, table: str) -> None:
        self._database, self._table = database, table

    def found(self) -> Sequence[VariableIndex]:
        with self._connected() as connection:
            rows = connection.exec_driver_sql(_FOUND, (f'"{self._table}"', _MARK)).fetchall()
        found = []
        for said, size in rows:
            place, _, name = str(said).removeprefix(_MARK).partition(" ")
            found.append(VariableIndex(Name("variable" if place == "variable" else "attribute", name), int(size)))
        return found

    def make(self, name: Name) -> None:
        json = None if name.place == "field" else POSTGRESQL_WORDS.json(name)
        if json is None:
            raise SettingsError(f"{self._database.name} cannot have an index on {name.name!r}.")
        head, number = POSTGRESQL_WORDS.head_of(POSTGRESQL_WORDS.text_of(json)), POSTGRESQL_WORDS.number_of(json)
        with self._connected() as connection:
            make = self._make_on_partitions if is_partitioned(connection, self._table) else self._make
            for index, expression in zip(self._names(name), (head, number), strict=True):
                if not _is_valid(connection, index):
                    self._drop(connection, index)
                try:
                    make(connection, index, expression)
                except DBAPIError:
                    self._drop(connection, index)  # what is left is not used, and costs
                    raise
                said = f"{_MARK}{name.place} {name.name}".replace("'", "''")
                _run(connection, f"COMMENT ON INDEX \"{index}\" IS '{said}'")

    def _make(self, connection: Connection, index: str, expression: str) -> None:
        _run(connection, f'CREATE INDEX CONCURRENTLY IF NOT EXISTS "{index}" ON "{self._table}" (({expression}))')

    def _make_on_partitions(self, connection: Connection, index: str, expression: str) -> None:
        self._run_briefly(connection, f'CREATE INDEX IF NOT EXISTS "{index}" ON ONLY "{self._table}" (({expression}))')
        names = f'"{self._table}"', f'"{index}"'
        for number, partition in connection.exec_driver_sql(_PARTITIONS, names).fetchall():
            part = f"{index}_{number}"
            _run(connection, f'DROP INDEX CONCURRENTLY IF EXISTS "{part}"')
            try:
                _run(connection, f'CREATE INDEX CONCURRENTLY "{part}" ON {partition} (({expression}))')
                self._run_briefly(connection, f'ALTER INDEX "{index}" ATTACH PARTITION "{part}"')
            except DBAPIError:
                _run(connection, f'DROP INDEX CONCURRENTLY IF EXISTS "{part}"')
                raise

    def _drop(self, connection: Connection, index: str) -> None:
        """That of a partitioned table goes at once, with those of the partitions, as soon as no other session uses the table."""
        if is_partitioned(connection, self._table):
            self._run_briefly(connection, f'DROP INDEX IF EXISTS "{index}"')
        else:
            _run(connection, f'DROP INDEX CONCURRENTLY IF EXISTS "{index}"')

    def _run_briefly(self, connection: Connection, text: str) -> None:
        """For what has all others wait; it waits a second itself."""
        _run(connection, f"SET lock_timeout = '1s'; {text}; SET lock_timeout = 0")

    def drop(self, name: Name) -> bool:
        is_there = name in [index.name for index in self.found()]
        with self._connected() as connection:
            for index in self._names(name):
                self._drop(connection, index)
        return is_there

    def close(self) -> None:
        """Nothing is kept open."""

    def _names(self, name: Name) -> tuple[str, str]:
        digest = self._digest_of(self._table, name)
        return f"chest_text_{digest}", f"chest_number_{digest}"

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that waits as long as making an index takes, and begins no transaction."""
        with self._database.explained(), self._database.connect_to_write() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            with waiting_long(connection):
                _run(connection, "SET statement_timeout = 0")
                yield connection


def _is_valid(connection: Connection, index: str) -> bool:
    """False also for an index that a failure left unfinished."""
    text = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    return bool(connection.exec_driver_sql(text, (f'"{index}"',)).scalar())


def _run(connection: Connection, text: str) -> None:
    connection.exec_driver_sql(text.replace("%", "%%"))
