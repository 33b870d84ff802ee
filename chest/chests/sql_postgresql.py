"""``PostgreSQLDatabase``: all that the SQL chest has to know of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Final

import psycopg
from psycopg.errors import DataError, IntegrityError
from sqlalchemy import BigInteger, Column, Computed, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import Connection, Dialect

from chest.chests.sql_database import ColumnTypes
from chest.chests.sql_server import Diagnosis, ServerDatabase
from chest.encoding import encode
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected, TLSRefused, UnknownDatabase, UnknownHost
from chest.record import Record

_LOGIN_STATES: Final = ("28000", "28P01", "42501")
_UNKNOWN_DATABASE_STATE: Final = "3D000"
_LIMIT_STATES: Final = "54"
"""The class of what is too large, such as a value for an index."""

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
    ("role ", LoginRefused),
    ("database ", UnknownDatabase),
    ("SSL", TLSRefused),
    ("certificate", TLSRefused),
)
"""What is found in the message of a connection that was not made: libpq gives no code with it. In this order."""


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

    def connect_driver(self, arguments: dict[str, Any]) -> Any:
        arguments |= {
            "connect_timeout": max(2, round(self.connect_seconds)),  # libpq's least
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
        moment = Computed("to_timestamp(time_ns / 1e9)", persisted=True)
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
        """All rows are one value, so that there is no bound on their number, and the driver has one value to convert."""
        objects = encode([dict(zip(columns, row, strict=True)) for row in rows]).decode()
        connection.exec_driver_sql(_insert_text(table, tuple(columns), connection.dialect), (objects,))

    def view_text(self, table: Table, view: str) -> str:
        return (
            f'CREATE VIEW "{view}" (request_id, name, value, recorded_at) AS'  # noqa: S608
            " SELECT r.request_id, v.key, v.value, to_timestamp(r.time_ns / 1e9)"
            f' FROM "{table.name}" AS r, jsonb_each_text(r.variables) AS v'
        )

    def rows(self, records: Sequence[Record], moment: datetime) -> list[tuple[Any, ...]]:
        stored_at = (self.stored_at_value(moment),)
        return [(*record, *stored_at) for record in records]

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


@cache
def _insert_text(table: Table, columns: tuple[str, ...], dialect: Dialect) -> str:
    """SQL that stores the objects of one JSON array, in its order."""
    names = ", ".join(f'"{column}"' for column in columns)
    typed = ", ".join(f'"{column}" {table.c[column].type.compile(dialect)}' for column in columns)
    conflict = ' ON CONFLICT ("id") DO NOTHING' if "id" in columns else ""
    return (
        f'INSERT INTO "{table.name}" ({names})'  # noqa: S608
        f" SELECT {names} FROM json_to_recordset(%s::json) AS r ({typed}){conflict}"
    )
