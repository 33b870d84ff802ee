"""``MySQLDatabase``: all that the SQL chest has to know of MySQL and MariaDB."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import Cursor
from sqlalchemy import JSON, BigInteger, Table
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT, VARCHAR
from sqlalchemy.engine import Connection

from chest.chests.sql_database import ColumnTypes
from chest.chests.sql_server import Diagnosis, ServerDatabase
from chest.chests.sql_url import SQLTarget
from chest.errors import (
    ChestUnavailable,
    LoginRefused,
    RecordRejected,
    SettingsError,
    TLSRefused,
    UnknownDatabase,
    UnknownHost,
)

_UTF8: Final = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_SSL_MODES: Final = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")

_INSECURE_TRANSPORT: Final = 3159
_CHECK_VIOLATED: Final = (3819, 4025)
"""MySQL's number and MariaDB's."""
_INVALID_JSON: Final = (3140, 3141, 3144, 3156, 3157, 3158)
_INVALID_TEXT: Final = 1300
_LOGIN_CODES: Final = (
    ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED, 1698,
)  # fmt: skip
_SHOWN_CODES: Final = (
    ER.BAD_NULL_ERROR, ER.WARN_DATA_OUT_OF_RANGE, ER.DATA_TOO_LONG, ER.TOO_BIG_ROWSIZE, ER.NET_PACKET_TOO_LARGE,
    *_CHECK_VIOLATED,
)  # fmt: skip
"""Whose messages name a column or a rule, and no value."""
_REFUSED_CODES: Final = (
    *_SHOWN_CODES, *_INVALID_JSON, _INVALID_TEXT, ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, ER.WARN_DATA_TRUNCATED,
    ER.TRUNCATED_WRONG_VALUE,
)  # fmt: skip

_STATEMENT_BYTES: Final = 1_000_000
"""What a statement of several rows is kept below, a quarter of MySQL 5.7's default of ``max_allowed_packet``."""
_IDLE_SECONDS: Final = 300
"""After which the server ends our idle session, and with it the turn of a process that was stopped amid it."""


class MySQLDatabase(ServerDatabase):
    """MySQL from 5.7 on, and MariaDB from 10.4 on."""

    driver = "mysql+pymysql"
    types: ClassVar[ColumnTypes] = ColumnTypes(
        counter=BigInteger(),
        id=VARCHAR(32, **_UTF8),
        short_text=VARCHAR(255, **_UTF8),
        text=MEDIUMTEXT(**_UTF8),
        json=JSON(),
        moment=DATETIME(fsp=6),
    )

    def __init__(self, target: SQLTarget) -> None:
        super().__init__(target)
        self._ssl_mode = _ssl_mode(target)

    def connect_driver(self, arguments: dict[str, Any]) -> Any:
        seconds = self.target.timeout_seconds
        connection = pymysql.connect(
            **arguments,
            **self._tls(),
            unix_socket=self.target.driver_options.get("unix_socket"),
            charset="utf8mb4",
            connect_timeout=self.connect_seconds,
            read_timeout=seconds,
            write_timeout=seconds,
            # Strict, or what is too long would be cut without a word. No other mode, whatever the server's: some change
            # how a text is quoted.
            sql_mode="STRICT_ALL_TABLES",
            init_command=f"SET SESSION wait_timeout = {_IDLE_SECONDS}, innodb_lock_wait_timeout = {max(1, round(seconds))}",
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                connection.cursorclass = _cursor_class(int(cursor.fetchone()[0]))
        except BaseException:
            connection.close()
            raise
        return connection

    def file_descriptor(self, driver_connection: Any) -> int:
        return int(driver_connection._sock.fileno())

    @contextmanager
    def turn(self, connection: Connection, table: str) -> Iterator[None]:
        """A lock by name, which belongs to the session and not to the transaction: released, or lost with the session."""
        lock = f"CONCAT('chest:', MD5(CONCAT(DATABASE(), '.{table}')))"
        seconds = self.target.timeout_seconds
        got = connection.exec_driver_sql(f"SELECT GET_LOCK({lock}, {seconds:g})").scalar()
        if got != 1:
            raise ChestUnavailable(
                f"{self.name} cannot be used (another process has been writing to {table} for {seconds:g} s)."
            )
        yield
        connection.exec_driver_sql(f"DO RELEASE_LOCK({lock})")

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """The driver makes as few statements of the rows as may be sent."""
        connection.exec_driver_sql(_insert_text(table.name, tuple(columns)), list(rows))

    def view_text(self, table: Table, view: str) -> str:
        """MySQL 5.7 has no ``JSON_TABLE``, and gets no view."""
        value = "JSON_EXTRACT(r.variables, CONCAT('$.', JSON_QUOTE(v.name)))"
        return (
            f"CREATE VIEW `{view}` (request_id, name, value, recorded_at) AS"  # noqa: S608
            f" SELECT r.request_id, v.name, IF(JSON_TYPE({value}) = 'NULL', NULL, JSON_UNQUOTE({value})),"
            " TIMESTAMPADD(MICROSECOND, r.time_ns DIV 1000, '1970-01-01 00:00:00')"
            f" FROM `{table.name}` AS r, JSON_TABLE(JSON_KEYS(r.variables), '$[*]' COLUMNS"
            " (name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$')) AS v"
        )

    def stored_at_value(self, moment: datetime) -> datetime:
        return moment.astimezone(UTC).replace(tzinfo=None)

    def diagnose(self, error: Any) -> Diagnosis:
        code = error.args[0] if error.args else 0
        if code in _REFUSED_CODES or isinstance(error, (pymysql.DataError, pymysql.IntegrityError)):
            return Diagnosis(RecordRejected, str(error.args[1]) if code in _SHOWN_CODES else f"error {code}")
        told = " ".join(str(error.args[-1] if error.args else error).split())
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, ssl.SSLError) or code in (CR.CR_SSL_CONNECTION_ERROR, _INSECURE_TRANSPORT):
            return Diagnosis(TLSRefused, told)
        if isinstance(cause, socket.gaierror):
            return Diagnosis(UnknownHost, told)
        if code in _LOGIN_CODES:
            return Diagnosis(LoginRefused, told)
        return Diagnosis(UnknownDatabase if code == ER.BAD_DB_ERROR else ChestUnavailable, told)

    def _tls(self) -> dict[str, Any]:
        if self._ssl_mode == "DISABLED":
            return {"ssl_disabled": True}
        if self._ssl_mode == "PREFERRED":
            return {}
        return {"ssl": self._tls_context()}

    def _tls_context(self) -> ssl.SSLContext:
        options = self.target.driver_options
        try:
            context = ssl.create_default_context(cafile=options.get("ssl_ca"))
            context.check_hostname = self._ssl_mode == "VERIFY_IDENTITY"
            context.verify_mode = ssl.CERT_NONE if self._ssl_mode == "REQUIRED" else ssl.CERT_REQUIRED
            if "ssl_cert" in options:
                context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
        except OSError as error:
            raise TLSRefused(f"{self.name}: a file of ssl_ca, ssl_cert or ssl_key cannot be used: {error}.") from error
        return context


def _ssl_mode(target: SQLTarget) -> str:
    """As the mysql command has it; a certificate authority that is named is there to be asked."""
    given = target.driver_options.get("ssl_mode")
    if given is None:
        return "VERIFY_IDENTITY" if "ssl_ca" in target.driver_options else "PREFERRED"
    if given.upper() not in _SSL_MODES:
        raise SettingsError(f"?ssl_mode={given!r}: there are {', '.join(_SSL_MODES)}.")
    return given.upper()


@cache
def _cursor_class(packet_bytes: int) -> type[Cursor]:
    """The driver's cursor, for a server that takes so large a packet."""

    class PacketCursor(Cursor):  # type: ignore[misc]
        max_stmt_length = min(_STATEMENT_BYTES, packet_bytes // 2)

        def execute(self, query: Any, args: Any = None) -> int:
            text = self.mogrify(query, args)
            # The server would end the connection amid it, which looks as if it were down, and so again the next time.
            if len(text) > packet_bytes // 4:
                size = len(text.encode("utf-8") if isinstance(text, str) else text)
                if size >= packet_bytes:
                    message = f"a record of {size} bytes, and max_allowed_packet is {packet_bytes}"
                    raise pymysql.DataError(ER.NET_PACKET_TOO_LARGE, message)
            return int(super().execute(text))

    return PacketCursor


@cache
def _insert_text(table: str, columns: tuple[str, ...]) -> str:
    """SQL that stores one row; the driver repeats the row.

    Not ``INSERT IGNORE``, which makes warnings of all mistakes. And another unique key of the user's own, whose value is
    there already, is no record that came again: then ``id`` would become NULL, which is refused.
    """
    names = ", ".join(f"`{column}`" for column in columns)
    places = ", ".join(["%s"] * len(columns))
    again = " ON DUPLICATE KEY UPDATE `id` = IF(`id` = VALUES(`id`), `id`, NULL)" if "id" in columns else ""
    return f"INSERT INTO `{table}` ({names}) VALUES ({places}){again}"  # noqa: S608
