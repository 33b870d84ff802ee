"""``PostgreSQLDatabase``: all that the SQL chest has to know of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final

from psycopg.errors import InsufficientPrivilege, QueryCanceled, UniqueViolation
from sqlalchemy import BigInteger, Column, Computed, Integer, Table, Text, event
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.dialect import ColumnTypes
from chest.chests.sql.postgresql.asking import POSTGRESQL_WORDS
from chest.chests.sql.postgresql.connection import BoundedConnection
from chest.chests.sql.postgresql.failure import diagnosis_of, is_passing
from chest.chests.sql.postgresql.indexes import PostgreSQLVariableIndexes
from chest.chests.sql.postgresql.partitions import (
    PostgreSQLPartitions,
    is_partitioned,
    notices_of,
    require_sequence_ahead,
)
from chest.chests.sql.postgresql.retention import PartitionedRetentionBackend
from chest.chests.sql.postgresql.rows import array_text, insert_text, same_columns
from chest.chests.sql.rows import finished_rows
from chest.chests.sql.server import CURES, Diagnosis, ServerDatabase
from chest.errors import ChestUnavailable, LoginRefused

_SESSION: Final = "SET LOCAL datestyle = 'ISO'; SET LOCAL array_nulls = on; SET LOCAL quote_all_identifiers = off"
"""Settings that what is sent and read depends on, and that a role or database may change: texts of moments, arrays and names of
types. Set for each transaction: behind a pooler the next one may be another session. The order of day and month stays the
role's, for triggers and defaults of the user's, and so does the time zone of a session that writes; psycopg does not know every zone."""
_FOR_READING: Final = "; SET LOCAL timezone = 'UTC'; SET LOCAL transaction_read_only = on"
_IS_FOR_READING: Final = "chest_is_for_reading"

_STATE: Final = """
    SELECT to_regclass(%s) IS NOT NULL, current_setting('transaction_read_only') = 'on',
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
        (SELECT attidentity <> '' OR has_sequence_privilege(pg_get_serial_sequence(x.name, attname), 'USAGE, UPDATE')
            FROM (SELECT %s) AS x (name), pg_attribute WHERE attrelid = to_regclass(x.name) AND attname = %s)"""
"""Four answers: the table exists; the session is read-only; a table may be created; its sequence may be used (NULL: it has none)."""
_MAY_DELETE: Final = """
    SELECT has_table_privilege(t, 'DELETE') AND has_column_privilege(t, 'id', 'SELECT')
        AND has_column_privilege(t, 'outcome', 'SELECT') FROM to_regclass(%s) AS t"""
_IS_KEY_OF_ID: Final = """
    SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        WHERE indrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND relname = %s AND attname = 'id' AND indnkeyatts = 1"""
_TABLE_BYTES: Final = """
    SELECT pg_table_size(t) + (SELECT coalesce(sum(pg_table_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = t)
        FROM to_regclass(%s) AS t"""
"""With its partitions."""

_KEEPALIVE_SECONDS: Final = 60
_LOCK_CLASS: Final = 0x43686573
"""The first half of the key of our advisory locks, "Ches": others may have some of their own in the same database."""

_LEAST_CONNECT_SECONDS: Final = 2  # libpq's
_LEAST_ANSWER_SECONDS: Final = 0.1  # a server that is well answers in a fraction of it


class PostgreSQLDatabase(ServerDatabase):
    """PostgreSQL, from version 12 on: for the column ``recorded_at``, the time of the request, computed from ``time_ns``."""

    driver = "postgresql+psycopg"
    words = POSTGRESQL_WORDS
    variable_index_kind = PostgreSQLVariableIndexes
    partitions_kind = PostgreSQLPartitions
    retention_kind = PartitionedRetentionBackend
    types: ClassVar[ColumnTypes] = ColumnTypes(
        counter=BigInteger(), id=Text(), short_text=Text(), text=Text(), json=JSONB(), moment=TIMESTAMP(timezone=True)
    )

    def wait_at_most(self, seconds: float) -> bool:
        longest = min(seconds / 2, seconds - _LEAST_CONNECT_SECONDS)
        return longest >= _LEAST_ANSWER_SECONDS and super().wait_at_most(2 * longest)

    def connect_driver(self, arguments: dict[str, Any]) -> Any:
        arguments |= {
            "connect_timeout": max(_LEAST_CONNECT_SECONDS, round(self.connect_seconds)),
            "client_encoding": "utf8",
            "keepalives_idle": _KEEPALIVE_SECONDS,
            "tcp_user_timeout": round(self.target.timeout_seconds * 1000),
            "prepare_threshold": None,  # one statement a batch gains nothing, and a pooler between may not keep it
            "application_name": "chest",
            **self.target.driver_options,
        }
        connection = BoundedConnection.connect(**arguments)
        connection.answer_seconds = self.target.timeout_seconds
        return connection

    def new_engine(self) -> Engine:
        engine = super().new_engine()
        event.listen(engine, "begin", _pin_settings)
        return engine

    def connect_to_read(self) -> Connection:
        connection = super().connect_to_read()
        connection.info[_IS_FOR_READING] = True
        return connection

    def limit_statements(self, connection: Connection, seconds: float | None) -> None:
        limit = "DEFAULT" if seconds is None else max(1, round(seconds * 1000))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit}")

    def is_out_of_time(self, error: DBAPIError) -> bool:
        return isinstance(error.orig, QueryCanceled)

    def file_descriptor(self, driver_connection: Any) -> int:
        return int(driver_connection.fileno())

    def more_columns(self) -> Sequence[Column[Any]]:
        moment = Computed("to_timestamp(time_ns / 1e9::float8)", persisted=True)
        return [Column("recorded_at", TIMESTAMP(timezone=True), moment)]

    @contextmanager
    def exclusive_write(self, connection: Connection, table: str) -> Iterator[None]:
        """The lock ends with the transaction; a writer that was stopped loses it at the server's timeout."""
        timeout_ms = round(self.target.timeout_seconds * 1000)
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {timeout_ms}; SET LOCAL statement_timeout = {timeout_ms};"
            f" SET LOCAL idle_in_transaction_session_timeout = {timeout_ms};"
            f" SELECT pg_advisory_xact_lock({_LOCK_CLASS}, hashtext({_identity(table)}))"
        )
        yield

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Each column is one value, an array: so the number of rows has no bound, and driver and server have little to do."""
        by_column, same = dict(zip(columns, zip(*rows, strict=True), strict=True)), same_columns(columns, rows)
        once = [each[0] for name, each in by_column.items() if name in same]
        arrays = [
            array_text(each, isinstance(table.c[name].type, Integer))
            for name, each in by_column.items()
            if name not in same
        ]
        plain = insert_text(table, tuple(columns), same, connection.dialect)
        values = (*once, *arrays)
        if "id" not in columns:
            connection.exec_driver_sql(plain, values)
            return
        # Records that come again are rare, and looking out for them by ON CONFLICT costs every row a fifth of its speed.
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(plain, values)
        except DBAPIError as error:
            if not isinstance(error.orig, UniqueViolation):
                raise
            violation = error
        else:
            return
        try:
            with connection.begin_nested():
                stored = connection.exec_driver_sql(f'{plain} ON CONFLICT ("id") DO NOTHING', values).rowcount
        except DBAPIError as error:
            if not isinstance(error.orig, InsufficientPrivilege):
                raise
            self._insert_apart(connection, table, columns, rows, violation)
            return
        if stored < len(rows) and self.remove_notes(connection, table, columns, finished_rows(columns, rows)):
            self.insert(connection, table, columns, finished_rows(columns, rows))

    def may_delete(self, connection: Connection, table: Table) -> bool:
        """Asked before, as the server would log an error for each batch."""
        return bool(connection.exec_driver_sql(_MAY_DELETE, (f'"{table.name}"',)).scalar())

    def _insert_apart(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
        violation: DBAPIError,
    ) -> None:
        """``ON CONFLICT`` needs the right to read ``id``. Without it, the rows that are there are found by halves."""
        if len(rows) > 1:
            middle = len(rows) // 2
            for part in (rows[:middle], rows[middle:]):
                self.insert(connection, table, columns, part)
            return
        cause: Any = violation.orig
        key = (
            cause.diag.schema_name,
            cause.diag.table_name,
            cause.diag.constraint_name,
        )  # of the partition, if it has some
        if connection.exec_driver_sql(_IS_KEY_OF_ID, key).scalar() is None:
            raise violation

    def require_rights(self, connection: Connection, table: Table, columns: Sequence[str] = STORED_COLUMNS) -> None:
        """EXPLAIN asks for the rights that the statement needs, and does nothing."""
        counter = table.primary_key.columns[0].name
        names = f'"{table.name}"', f'"{table.name}"', counter
        is_there, is_read_only, may_make, may_count = connection.exec_driver_sql(_STATE, names).one()
        if is_read_only:
            raise ChestUnavailable(f"{self.name} {CURES[ChestUnavailable]} (the server or the session is read-only).")
        if not is_there:
            if not may_make:
                raise self._lacks("CREATE on a schema of its search_path, and there is no table")
            return
        if may_count is False:
            raise self._lacks(f"USAGE on the sequence of {table.name}.{counter}")
        text = insert_text(table, tuple(columns), frozenset(), connection.dialect)
        connection.exec_driver_sql(f"EXPLAIN {text}", ("{}",) * len(columns))

    def require_counter(self, connection: Connection, table: Table) -> None:
        require_sequence_ahead(self.name, connection, table.name)

    def _lacks(self, right: str) -> LoginRefused:
        return LoginRefused(f"{self.name} {CURES[LoginRefused]} (the user lacks the right {right}).")

    def notices_on(self, connection: Connection, table: Table) -> Sequence[str]:
        return notices_of(self.name, connection, table.name)

    def table_bytes(self, connection: Connection, table: Table) -> int:
        return int(connection.exec_driver_sql(_TABLE_BYTES, (f'"{table.name}"',)).scalar() or 0)

    def online_index_text(self, connection: Connection, index: str, table: str) -> str:
        if is_partitioned(connection, table):
            return (
                f'CREATE INDEX "{index}" ON ONLY "{table}" (request_id); then for each partition: CREATE INDEX CONCURRENTLY'
                f' part ON partition (request_id); ALTER INDEX "{index}" ATTACH PARTITION part'
            )
        return f'CREATE INDEX CONCURRENTLY "{index}" ON "{table}" (request_id)'

    def view_text(self, table: Table, view: str) -> str:
        return (
            f'CREATE VIEW "{view}" (request_id, name, value, recorded_at, id) AS'  # noqa: S608
            " SELECT r.request_id, v.key, v.value, to_timestamp(r.time_ns / 1e9::float8), r.id"
            f' FROM "{table.name}" AS r, jsonb_each_text(r.variables) AS v'
        )

    def view_columns(self, connection: Connection, view: str) -> list[str]:
        """Empty for a view in another schema than the one that new views go to, and for another owner's view."""
        query = (
            "SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
            " WHERE c.relname = %s AND c.relkind = 'v' AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))"
            " AND pg_has_role(c.relowner, 'USAGE') AND a.attnum > 0 ORDER BY a.attnum"
        )
        return list(connection.exec_driver_sql(query, (view,)).scalars())

    def change_schema(self, connection: Connection, statement: str) -> None:
        """Waits a second for a reader; meanwhile all others wait behind."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '1s'; {statement}")

    def stored_at_value(self, moment: datetime) -> str:
        return moment.isoformat()

    def check_constraints(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    def is_passing(self, error: DBAPIError) -> bool:
        return is_passing(error.orig, self.target.table)

    def diagnose(self, error: Any) -> Diagnosis:
        return diagnosis_of(error, self.target.table)


def _pin_settings(connection: Connection) -> None:
    for_reading = _FOR_READING if _IS_FOR_READING in connection.info else ""
    connection.exec_driver_sql(_SESSION + for_reading)


def _identity(table: str) -> str:
    """SQL for the identity of a table: its oid, which is the same whatever the ``search_path``; until it is made, its place."""
    return f"coalesce(to_regclass('\"{table}\"')::oid::text, current_schema() || '.{table}')"
