"""``PostgreSQLDatabase``: all that the SQL chest has to know of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Final

import psycopg
from psycopg.errors import DataError, IntegrityError, UniqueViolation
from sqlalchemy import BigInteger, Column, Computed, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError

from chest.chests.sql_database import ColumnTypes
from chest.chests.sql_server import Diagnosis, ServerDatabase
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected, TLSRefused, UnknownDatabase, UnknownHost

_LOGIN_STATES: Final = ("28000", "28P01", "42501")
_UNKNOWN_DATABASE_STATE: Final = "3D000"
_LIMIT_STATES: Final = "54"
"""The class of what is too large, such as a value for an index."""

_MOSTLY_SAME: Final = ("service", "release", "host", "stored_at")

_KEEPALIVE_SECONDS: Final = 60
_LOCK_CLASS: Final = 0x43686573
"""The first half of the key of our advisory locks, "Ches": others may have some of their own in the same database."""

_SAID_BEFORE_LOGIN: Final = (
    ("failed to resolve host", UnknownHost),
    ("could not translate host name", UnknownHost),
    ("no encryption", TLSRefused),
    ("SSL off", TLSRefused),
    ("password authentication failed", LoginRefused),
    ("no password supplied", LoginRefused),
    ("no pg_hba.conf entry", LoginRefused),
    ("permission denied for database", LoginRefused),
    ("the database system is", ChestUnavailable),  # starting up, shutting down, in recovery
    ("role ", LoginRefused),
    ("database ", UnknownDatabase),
    ("SSL", TLSRefused),
    ("certificate", TLSRefused),
)
"""What is found in the message of a connection that was not made: libpq gives no code with it. In this order."""


_LEAST_CONNECT_SECONDS: Final = 2
"""libpq's."""
_LEAST_ANSWER_SECONDS: Final = 0.1
"""A server that is well answers in a fraction of it."""


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer only so long: the driver by itself would wait for ever."""

    answer_seconds: float = 10.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)


class PostgreSQLDatabase(ServerDatabase):
    """PostgreSQL, from version 12 on: for the column ``recorded_at``, the time of the request, computed from ``time_ns``."""

    driver = "postgresql+psycopg"
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
        connection = _BoundedConnection.connect(**arguments)
        connection.answer_seconds = self.target.timeout_seconds
        return connection

    def file_descriptor(self, driver_connection: Any) -> int:
        return int(driver_connection.fileno())

    def more_columns(self) -> Sequence[Column[Any]]:
        moment = Computed("to_timestamp(time_ns / 1e9::float8)", persisted=True)
        return [Column("recorded_at", TIMESTAMP(timezone=True), moment)]

    @contextmanager
    def turn(self, connection: Connection, table: str) -> Iterator[None]:
        """The lock ends with the transaction, and a writer that stopped amid it loses it to the server's timeout."""
        timeout_ms = round(self.target.timeout_seconds * 1000)
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {timeout_ms}; SET LOCAL statement_timeout = {timeout_ms};"
            f" SET LOCAL idle_in_transaction_session_timeout = {timeout_ms};"
            f" SELECT pg_advisory_xact_lock({_LOCK_CLASS}, hashtext(current_schema() || '.{table}'))"
        )
        yield

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Each column is one value, an array: so there is no bound on the rows, and little for driver and server to do."""
        by_column, same = dict(zip(columns, zip(*rows, strict=True), strict=True)), _same_columns(columns, rows)
        once = [each[0] for name, each in by_column.items() if name in same]
        arrays = [
            _array(each, isinstance(table.c[name].type, Integer))
            for name, each in by_column.items()
            if name not in same
        ]
        plain = _insert_text(table, tuple(columns), same, connection.dialect)
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
            connection.exec_driver_sql(f'{plain} ON CONFLICT ("id") DO NOTHING', values)

    def view_text(self, table: Table, view: str) -> str:
        return (
            f'CREATE VIEW "{view}" (request_id, name, value, recorded_at) AS'  # noqa: S608
            " SELECT r.request_id, v.key, v.value, to_timestamp(r.time_ns / 1e9::float8)"
            f' FROM "{table.name}" AS r, jsonb_each_text(r.variables) AS v'
        )

    def stored_at_value(self, moment: datetime) -> str:
        return moment.isoformat()

    def diagnose(self, error: Any) -> Diagnosis:
        state = error.sqlstate or ""
        if isinstance(error, (DataError, IntegrityError)) or state.startswith(_LIMIT_STATES):
            return Diagnosis(RecordRejected, _told_of_record(error, state))
        told = error.diag.message_primary or " ".join(str(error).split())
        if state in _LOGIN_STATES:
            return Diagnosis(LoginRefused, told)
        if state == _UNKNOWN_DATABASE_STATE:
            return Diagnosis(UnknownDatabase, told)
        if isinstance(error, psycopg.OperationalError) and not state:
            kind = next((kind for said, kind in _SAID_BEFORE_LOGIN if said in told), ChestUnavailable)
            return Diagnosis(kind, told or f"no answer within {self.target.timeout_seconds:g} s")
        return Diagnosis(ChestUnavailable, told)


def _told_of_record(error: Any, state: str) -> str:
    """What is wrong with a record: of a broken rule all but the row, of a value only the kind of mistake."""
    if isinstance(error, IntegrityError) and error.diag.message_primary:
        return str(error.diag.message_primary)
    return f"{type(error).__name__} {state}".strip()


def _same_columns(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> frozenset[str]:
    """Of those that are mostly the same for a whole batch, the columns that are: they are sent once."""
    first = rows[0]
    return frozenset(
        name
        for place, name in enumerate(columns)
        if name in _MOSTLY_SAME and all(row[place] == first[place] for row in rows)
    )


def _array(values: Sequence[Any], are_numbers: bool) -> str:
    """The text of an array. A value that is none of a column's kind raises TypeError or ValueError."""
    if are_numbers:
        return f"{{{','.join('NULL' if value is None else int.__repr__(value) for value in values)}}}"
    if None in values:
        return f"{{{','.join('NULL' if value is None else _quoted([value]) for value in values)}}}"
    return f"{{{_quoted(values)}}}"


def _quoted(texts: Sequence[str]) -> str:
    """The texts in quotes and with commas between; all in one go, and NUL, which PostgreSQL does not take, between them."""
    joined = "\0".join(texts)
    if joined.count("\0") >= len(texts):
        raise ValueError("PostgreSQL takes no text with a NUL")
    inner = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'"{inner}"'


@cache
def _insert_text(table: Table, columns: tuple[str, ...], same: frozenset[str], dialect: Dialect) -> str:
    """SQL that stores the rows of arrays, in their order; ``same`` are not arrays."""
    types = {column: table.c[column].type.compile(dialect) for column in columns}
    names = ", ".join(f'"{column}"' for column in columns)
    chosen = ", ".join(f"%s::{types[column]}" if column in same else f'r."{column}"' for column in columns)
    arrays = [column for column in columns if column not in same]
    quoted_arrays = ", ".join(f'"{column}"' for column in arrays)
    return (
        f'INSERT INTO "{table.name}" ({names}) SELECT {chosen}'  # noqa: S608
        f" FROM unnest({', '.join(f'%s::{types[column]}[]' for column in arrays)})"
        f" AS r ({quoted_arrays})"
    )
