"""``PostgreSQLPartitions``: a table that is partitioned by ``id``, whose ids begin with the time: a partition a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Text
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from chest.chests.sql.columns import view_name
from chest.chests.sql.dialect import LARGEST_BYTES_CHANGED
from chest.chests.sql.postgresql.connection import waiting_long
from chest.chests.sql.schema import record_table
from chest.chests.upkeep import Partitions
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.record.record_id import first_id

if TYPE_CHECKING:
    from chest.chests.sql.postgresql.dialect import PostgreSQLDatabase

__all__ = [
    "Partition",
    "PostgreSQLPartitions",
    "is_partitioned",
    "notices_of",
    "partitions_of",
    "require_sequence_ahead",
]

_IS_PARTITIONED: Final = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)"
_KEY: Final = "RANGE (id)"
_KEY_OF: Final = "SELECT pg_get_partkeydef(t), t IS NOT NULL FROM to_regclass(%s) AS t"
_PARTITIONS: Final = """
    SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), pg_has_role(c.relowner, 'USAGE')
    FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE inhparent = to_regclass(%s) AND c.relispartition"""
_COLUMNS: Final = """
    SELECT quote_ident(attname) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
_SEQUENCE: Final = """
    SELECT s, has_column_privilege(t, 'seq', 'SELECT') AND has_sequence_privilege(s, 'USAGE, SELECT')
    FROM to_regclass(%s) AS t, pg_get_serial_sequence(%s, 'seq') AS s"""
_BOUND: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'[^']*')\) TO \((MAXVALUE|'[^']*')\)")
_ABOVE_ALL: Final = "g"
"""Greater than each id, which is hexadecimal."""
_LONGEST_NAME: Final = 63
_TOLD_BEFORE: Final = timedelta(days=3)
_DAY: Final = timedelta(days=1)
_ONE_S_NS: Final = 10**9
_MIB: Final = 1024 * 1024
_DAY_NS: Final = 86_400 * _ONE_S_NS


class Partition(NamedTuple):
    """A partition of the table."""

    name: str
    """As SQL writes it."""
    first: str | None
    """Where its ids begin; None: it is the default partition, or of another kind."""
    end: str
    """The first id that is not its own."""
    is_ours: bool
    """True if this user owns it, and so may drop it."""

    @property
    def is_default(self) -> bool:
        """True if it has what no other partition takes."""
        return self.first is None

    @property
    def is_of_a_day(self) -> bool:
        """True if it takes the records of a day, or of a shorter time."""
        if not self.first or self.end == _ABOVE_ALL:
            return False
        return _begin_ns(self.end) - _begin_ns(self.first) <= _DAY_NS


def is_partitioned(connection: Connection, table: str) -> bool:
    """True if the table has partitions, by whatever key."""
    return bool(connection.exec_driver_sql(_IS_PARTITIONED, (f'"{table}"',)).scalar())


def partitions_of(connection: Connection, table: str) -> list[Partition]:
    """The partitions of a table, the oldest first; empty if it has none."""
    rows = connection.exec_driver_sql(_PARTITIONS, (f'"{table}"',)).fetchall()
    return sorted((_partition(*row) for row in rows), key=lambda partition: partition.end)


def _partition(name: str, bound: str, is_ours: bool) -> Partition:
    match = _BOUND.fullmatch(bound)
    if match is None:
        return Partition(name, None, _ABOVE_ALL, is_ours)
    first = "" if match[1] == "MINVALUE" else match[1].strip("'")
    return Partition(name, first, _ABOVE_ALL if match[2] == "MAXVALUE" else match[2].strip("'"), is_ours)


def notices_of(chest: str, connection: Connection, table: str) -> list[str]:
    """What an operator should know of the partitions of a table; empty if it has none.

    :param chest: the chest's label.
    """
    key, _ = connection.exec_driver_sql(_KEY_OF, (f'"{table}"',)).one()
    if key != _KEY:
        return []
    found = partitions_of(connection, table)
    default = _default_of(found)
    has_default = default is not None
    end = max((partition.end for partition in found if not partition.is_default), default="")
    later = "are kept in the default partition" if has_default else "wait on their hosts"
    said = []
    if end < first_id(_ns_of(datetime.now(UTC) + _TOLD_BEFORE)):
        ends = f"ends at {_moment_text(end)}" if end else "has yet to be made"
        said.append(
            f"{chest}: the last partition of the table {table} {ends}; later records {later}. Run as the owner of the table:"
            " chest partition --apply"
        )
    if not has_default:
        said.append(
            f"{chest}: the table {table} has no default partition, so a record that no partition takes holds up all that come"
            " after it. Run as the owner of the table: chest partition --apply"
        )
    size = connection.exec_driver_sql("SELECT pg_relation_size(%s::regclass)", (default,)).scalar() or 0
    if size > LARGEST_BYTES_CHANGED:
        said.append(
            f"{chest}: the default partition of the table {table} has {size // _MIB} MiB. For each day that is made the server reads"
            " all of it, and writers wait meanwhile. Make the days of its records, which then move there, when there is little to"
            " do: chest partition --since 30d --apply. A retention by age removes what is older"
        )
    return said


def require_sequence_ahead(chest: str, connection: Connection, table: str) -> None:
    """Refuse a partitioned table whose sequence would give numbers that are there: its key, which has ``id``, would take them.

    Not known, and taken for right, if this user may not read ``seq``.

    :param chest: the chest's label.
    :raises ChestUnavailable: after a restore of the data alone, say.
    """
    name = f'"{table}"'
    if not is_partitioned(connection, table):
        return
    sequence, may_know = connection.exec_driver_sql(_SEQUENCE, (name, name)).one()
    if sequence is None or not may_know:
        return
    behind = f"SELECT coalesce(pg_sequence_last_value(%s::regclass), 0) < max(seq) FROM {name}"  # noqa: S608
    if connection.exec_driver_sql(behind, (sequence,)).scalar():
        cure = f"SELECT setval('{sequence}', max(seq)) FROM {name}"  # noqa: S608
        raise ChestUnavailable(
            f"{chest}: the sequence of the table {table} is behind its records, so that two would get the same seq. Move it on: {cure}"
        )


class PostgreSQLPartitions(Partitions):
    """Days in UTC, and a default partition for all other ids, so that there is a place for every record.

    :param database: the chest's.
    :param table: the chest's.
    """

    def __init__(self, database: PostgreSQLDatabase, table: str) -> None:
        self._database, self._table = database, table

    def missing(self, days: Sequence[date]) -> Sequence[Sequence[str]]:
        with self._database.explained(), self._database.connect_to_write() as connection:
            lacking = self._lacking(connection, days)
            made = self._table_statements(connection), *(self._day_statements(connection, day) for day in lacking)
            return [statements for statements in made if statements]

    def make(self, days: Sequence[date]) -> Sequence[Sequence[str]]:
        made = []
        # Rows may have to move, and the server reads the default partition for each day: no two under one lock.
        with self._database.explained(), self._database.connect_to_write() as connection, waiting_long(connection):
            if statements := self._run(connection, self._table_statements):
                made.append(statements)
            for day in self._lacking(connection, days):
                if statements := self._run(connection, partial(self._day_statements, day=day)):
                    made.append(statements)
        return made

    def _run(self, connection: Connection, statements_of: Callable[[Connection], list[str]]) -> list[str]:
        """Run statements as one transaction, and return them."""
        statements = statements_of(connection)
        connection.rollback()
        if statements:
            with self._database.exclusive_write(connection, self._table):
                # Again: what a record of the meantime went to is known only now.
                statements = statements_of(connection)
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                for statement in statements:
                    self._database.change_schema(connection, statement)
                connection.commit()
        return statements

    def _table_statements(self, connection: Connection) -> list[str]:
        name = f'"{self._table}"'
        key, is_there = connection.exec_driver_sql(_KEY_OF, (name,)).one()
        if is_there and key != _KEY:
            raise SchemaMismatch(
                f"{self._database.name}: the table {self._table} is {f'partitioned by {key}' if key else 'not partitioned'}, and"
                f" {_KEY} is needed. Make another one with ?table=, and move the records with chest transfer."
            )
        statements = [] if is_there else self._new_table(connection)
        if _default_of(partitions_of(connection, self._table)) is None:
            statements.append(f"CREATE TABLE {self._name('default')} PARTITION OF {name} DEFAULT")
        return statements

    def _lacking(self, connection: Connection, days: Sequence[date]) -> list[date]:
        found = [each for each in partitions_of(connection, self._table) if each.first is not None]
        connection.rollback()
        return [day for day in days if not _has_day(found, day)]

    def _day_statements(self, connection: Connection, day: date) -> list[str]:
        found = partitions_of(connection, self._table)
        if _has_day(found, day):
            return []
        return self._new_partition(connection, _default_of(found), f"{day:%Y%m%d}", *_ids_of(day))

    def _new_table(self, connection: Connection) -> list[str]:
        database = self._database
        options = {"postgresql_partition_by": _KEY}
        is_indexed = database.target.has_request_id_index
        table = record_table(self._table, database, has_request_id_index=is_indexed, partitioned_options=options)
        table.c.id.type = Text(collation="C")  # as it is compared here
        made: list[ExecutableDDLElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
        view = database.view_text(table, view_name(self._table)).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
        return [*(str(each.compile(dialect=connection.dialect)).strip() for each in made), view]

    def _new_partition(
        self, connection: Connection, default: str | None, suffix: str, first: str, end: str
    ) -> list[str]:
        parent, name, bounds = f'"{self._table}"', self._name(suffix), f"FOR VALUES FROM ('{first}') TO ('{end}')"
        within = f"id >= '{first}' AND id < '{end}'"
        has_some = default and connection.exec_driver_sql(f"SELECT 1 FROM {default} WHERE {within} LIMIT 1").first()  # noqa: S608
        if not has_some:
            return [f"CREATE TABLE {name} PARTITION OF {parent} {bounds}"]
        columns = ", ".join(connection.exec_driver_sql(_COLUMNS, (parent,)).scalars())
        return [
            f"CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)",
            f"WITH moved AS (DELETE FROM {default} WHERE {within} RETURNING {columns})"  # noqa: S608
            f" INSERT INTO {name} ({columns}) SELECT {columns} FROM moved",
            f"ALTER TABLE {parent} ATTACH PARTITION {name} {bounds}",
        ]

    def _name(self, suffix: str) -> str:
        return f'"{self._table[: _LONGEST_NAME - len(suffix) - 1]}_{suffix}"'


def _default_of(found: Sequence[Partition]) -> str | None:
    return next((partition.name for partition in found if partition.is_default), None)


def _has_day(found: Sequence[Partition], day: date) -> bool:
    """True if a partition takes some of its records."""
    first, end = _ids_of(day)
    return any(each.first is not None and each.first < end and first < each.end for each in found)


def _ids_of(day: date) -> tuple[str, str]:
    """Where the ids of a day begin, and those of the next one."""
    return _first_id_of(day), _first_id_of(day + _DAY)


def _first_id_of(day: date) -> str:
    return first_id(_ns_of(datetime(day.year, day.month, day.day, tzinfo=UTC)))


def _ns_of(moment: datetime) -> int:
    return int(moment.timestamp()) * _ONE_S_NS


def _moment_text(first: str) -> str:
    if first == _ABOVE_ALL:
        return "no time"
    return f"{datetime.fromtimestamp(_begin_ns(first) / _ONE_S_NS, UTC):%Y-%m-%d %H:%M} UTC"


def _begin_ns(first: str) -> int:
    """The moment at which an id begins, of however many characters."""
    return int(first[:16].ljust(16, "0"), 16)
