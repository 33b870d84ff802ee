"""What an error of MySQL or MariaDB is: of a record or of the server, and of which kind."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import pymysql
from pymysql.constants import CR, ER

from chest.chests.sql.server import Diagnosis
from chest.errors import (
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    SchemaMismatch,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)

__all__ = ["diagnosis_of", "is_passing"]

_INSECURE_TRANSPORT: Final = 3159
_CHECK_VIOLATED: Final = (3819, 4025)
"""MySQL's number and MariaDB's."""
_INVALID_JSON: Final = (3140, 3141, 3144, 3156, 3157, 3158)
_INVALID_TEXT: Final = 1300
_LOGIN_CODES: Final = (
    ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED, 1698, 1820, 1862, 3118, 4151,
)  # fmt: skip
"""The last of them: no password, an expired one (two codes), a locked account (MySQL's and MariaDB's code)."""
_SHOWN_CODES: Final = (
    ER.BAD_NULL_ERROR, ER.WARN_DATA_OUT_OF_RANGE, ER.DATA_TOO_LONG, ER.TOO_BIG_ROWSIZE, ER.NET_PACKET_TOO_LARGE,
    *_CHECK_VIOLATED,
)  # fmt: skip
"""Whose messages name a column or a rule, and no value."""
_REFUSED_CODES: Final = (
    *_SHOWN_CODES, *_INVALID_JSON, _INVALID_TEXT, ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, ER.WARN_DATA_TRUNCATED,
    ER.TRUNCATED_WRONG_VALUE,
)  # fmt: skip

_PASSING_CODES: Final = (
    ER.DISK_FULL, ER.ERROR_ON_READ, ER.ERROR_ON_WRITE, ER.CANT_LOCK, ER.CHECKREAD, ER.GET_ERRNO, ER.NOT_KEYFILE,
    ER.OUTOFMEMORY, ER.OUT_OF_SORTMEMORY, ER.CON_COUNT_ERROR, ER.OUT_OF_RESOURCES, ER.UNKNOWN_COM_ERROR,
    ER.SERVER_SHUTDOWN, ER.TABLE_NOT_LOCKED_FOR_WRITE, ER.TABLE_NOT_LOCKED, ER.RECORD_FILE_FULL,
    ER.CRASHED_ON_USAGE, ER.CRASHED_ON_REPAIR, ER.ERROR_DURING_COMMIT, ER.ERROR_DURING_ROLLBACK,
    ER.TOO_MANY_USER_CONNECTIONS, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_TABLE_FULL, ER.READ_ONLY_TRANSACTION,
    ER.LOCK_DEADLOCK, ER.CANT_UPDATE_WITH_READLOCK, ER.USER_LIMIT_REACHED, ER.OPTION_PREVENTS_STATEMENT,
    ER.SP_DOES_NOT_EXIST, ER.QUERY_INTERRUPTED, 1637, 1792, 1836, 1927, 1969, 3024, 3100, 3572, 4031,
)  # fmt: skip
"""What has nothing to do with the rows: disk, memory, locks, limits, shutdown, a read-only server, a lost savepoint."""
_NO_DEFAULT: Final = 1364
_SIGNALLED_STATE: Final = "45000"
"""The state that a trigger of the user's signals, with any number."""


def is_passing(error: Any) -> bool:
    """True if the driver's error says nothing of the records: a lost connection, a lock, a full disk."""
    code = error.args[0] if error.args else 0
    # Below 1000 the system's, and from 2000 to 2999 the driver's.
    is_server_s = isinstance(code, int) and abs(code) >= 1000 and not 2000 <= code < 3000
    is_signalled = getattr(error, "sqlstate", None) == _SIGNALLED_STATE
    return not is_server_s or (code in _PASSING_CODES and not is_signalled)


def diagnosis_of(error: Any) -> Diagnosis:
    """The kind of the driver's error, and its message without values of records."""
    code = error.args[0] if error.args else 0
    if code in _REFUSED_CODES or isinstance(error, (pymysql.DataError, pymysql.IntegrityError)):
        return Diagnosis(RecordRejected, str(error.args[1]) if code in _SHOWN_CODES else f"error {code}")
    told = " ".join(str(error.args[-1] if error.args else error).split())
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLError) or code in (CR.CR_SSL_CONNECTION_ERROR, _INSECURE_TRANSPORT):
        return Diagnosis(TLSRefused, told)
    if isinstance(cause, socket.gaierror):
        return Diagnosis(UnknownHost, told)
    if code == _NO_DEFAULT:
        return Diagnosis(SchemaMismatch, told)
    if code in _LOGIN_CODES:
        return Diagnosis(LoginRefused, told)
    return Diagnosis(UnknownDatabase if code == ER.BAD_DB_ERROR else ChestUnavailable, told)
