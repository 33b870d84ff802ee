"""What an error of PostgreSQL is: of a record or of the server, and of which kind."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.errors import CheckViolation, DataError, IntegrityError, NotNullViolation, UniqueViolation

from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.postgresql.refusal import kind_of_refusal
from chest.chests.sql.server import Diagnosis
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected, SchemaMismatch, UnknownDatabase

__all__ = ["diagnosis_of", "is_passing"]

_LOGIN_STATES: Final = ("28", "42501")
_UNKNOWN_DATABASE_STATE: Final = "3D000"
_LIMIT_STATES: Final = "54"
"""Class of errors for values that are too large, such as for an index."""

_PASSING_STATES: Final = ("08", "25", "28", "40", "53", "55", "57", "58", "F0", "XX001", "XX002")
"""Classes of errors that no row causes: the connection, a read-only server, log-in, serialization, resources, locks,
shutdown, the system, a damaged file. https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_RAISED_BY_USER: Final = "exec_stmt_raise"
"""The function of the server that carries out the RAISE of a PL/pgSQL function; it may give any code."""
_FINDS_PARTITION: Final = "ExecFindPartition"
"""The function of the server that looks for the partition of a row."""


def is_passing(error: Any, table: str) -> bool:
    """True if the driver's error says nothing of the records.

    :param table: the chest's.
    """
    if not error.sqlstate:
        return True
    if error.diag.source_function == _RAISED_BY_USER:
        return False
    is_of_server = error.sqlstate.startswith(_PASSING_STATES) or _has_no_partition(error)
    return is_of_server or _is_sequence_behind(error, table)


def diagnosis_of(error: Any, table: str) -> Diagnosis:
    """The kind of the driver's error, and its message without values of records."""
    state = error.sqlstate or ""
    if _is_sequence_behind(error, table):
        return Diagnosis(ChestUnavailable, "the sequence of seq is behind the table; setval() moves it on")
    if _has_no_partition(error):
        told = "no partition takes a record: run chest partition --apply as the owner of the table"
        return Diagnosis(ChestUnavailable, told)
    if isinstance(error, NotNullViolation) and error.diag.column_name not in STORED_COLUMNS:
        return Diagnosis(SchemaMismatch, str(error.diag.message_primary))
    if isinstance(error, (DataError, IntegrityError)) or state.startswith(_LIMIT_STATES):
        return Diagnosis(RecordRejected, _told_of_record(error, state))
    told = error.diag.message_primary or " ".join(str(error).split())
    if state.startswith(_LOGIN_STATES):
        return Diagnosis(LoginRefused, told)
    if state == _UNKNOWN_DATABASE_STATE:
        return Diagnosis(UnknownDatabase, told)
    if isinstance(error, psycopg.OperationalError) and not state:
        return Diagnosis(kind_of_refusal(told), told)
    return Diagnosis(ChestUnavailable, told)


def _has_no_partition(error: Any) -> bool:
    """True if the table is partitioned, and lacks a partition for a row. The record is as good as any."""
    return isinstance(error, CheckViolation) and error.diag.source_function == _FINDS_PARTITION


def _is_sequence_behind(error: Any, table: str) -> bool:
    """True if ``seq`` got a number that is there: after a restore, say. Each try takes the next one."""
    return isinstance(error, UniqueViolation) and error.diag.constraint_name == f"{table}_pkey"


def _told_of_record(error: Any, state: str) -> str:
    """What is wrong with a record: of a broken rule all but the row, of a value only the kind of mistake."""
    if isinstance(error, IntegrityError) and error.diag.message_primary:
        return str(error.diag.message_primary)
    return f"{type(error).__name__} {state}".strip()
