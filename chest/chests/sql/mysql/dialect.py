"""``MySQLDatabase``: all that the SQL chest has to know of MySQL and MariaDB."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import blake2b
from typing import Any, ClassVar, Final

import pymysql
from pymysql.constants import CLIENT, ER
from pymysql.cursors import Cursor
from sqlalchemy import JSON, BigInteger, Column, Computed, FromClause, Table, inspect
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT, VARCHAR
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from chest.chests.asking.sql.words import Words
from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.dialect import LARGEST_BYTES_CHANGED, ColumnTypes
from chest.chests.sql.mysql.asking import MYSQL_WORDS, MySQLWords
from chest.chests.sql.mysql.failure import diagnosis_of, is_passing
from chest.chests.sql.mysql.indexes import MySQLVariableIndexes, keys_of
from chest.chests.sql.rows import finished_rows
from chest.chests.sql.server import CURES, Diagnosis, ServerDatabase
from chest.chests.sql.url import SQLTarget
from chest.errors import ChestUnavailable, SettingsError, TLSRefused

_UTF8: Final = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_SSL_MODES: Final = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")

_READ_ONLY_DEFAULT: Final = (
    "SHOW VARIABLES WHERE Variable_name IN ('tx_read_only', 'transaction_read_only') AND Value = 'ON'"
)
"""The older name is MySQL 5.7's and MariaDB's."""

_OUT_OF_TIME: Final = (1317, 1969, 3024)
"""Interrupted; MariaDB's, and MySQL's number for a statement that took too long."""
_STATEMENT_BYTES: Final = 1_000_000
"""What a statement of several rows is kept below, a quarter of MySQL 5.7's default of ``max_allowed_packet``."""
_IDLE_SECONDS: Final = 300
"""After this time the server ends our idle session, and with it the lock of a process that was stopped while it had one."""


class MySQLDatabase(ServerDatabase):
    """MySQL from 5.7 on, and MariaDB from 10.4 on."""

    driver = "mysql+pymysql"
    words: ClassVar[Words] = MYSQL_WORDS
    variable_index_kind = MySQLVariableIndexes
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
        self._ssl_mode = ssl_mode_of(target)

    def connect_driver(self, arguments: dict[str, Any]) -> Any:
        seconds = self.target.timeout_seconds
        # SQLAlchemy's; with it, a row that is there already counts as one that is stored.
        arguments["client_flag"] &= ~CLIENT.FOUND_ROWS
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
            # Also in the server, which does not notice that a client waits no more. What makes or alters a table has everyone
            # behind it wait.
            init_command=f"SET SESSION wait_timeout = {_IDLE_SECONDS}, innodb_lock_wait_timeout = {max(1, round(seconds))},"
            f" lock_wait_timeout = {max(1, round(seconds))}",
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                connection.cursorclass = _cursor_class(int(cursor.fetchone()[0]))
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_to_read(self) -> Connection:
        connection = super().connect_to_read()
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        connection.rollback()
        return connection

    def limit_statements(self, connection: Connection, seconds: float | None) -> None:
        """Two names of one thing, in seconds and in milliseconds."""
        is_mariadb = connection.dialect.is_mariadb  # type: ignore[attr-defined]
        name, unit = ("max_statement_time", 1) if is_mariadb else ("max_execution_time", 1000)
        limit = "DEFAULT" if seconds is None else f"{max(0.001, seconds) * unit:.{3 if is_mariadb else 0}f}"
        connection.exec_driver_sql(f"SET SESSION {name} = {limit}")

    def is_out_of_time(self, error: DBAPIError) -> bool:
        return bool(error.orig and error.orig.args and error.orig.args[0] in _OUT_OF_TIME)

    def words_on(self, connection: Connection, source: FromClause) -> Words:
        """With the columns that have an index, as of now: one may be made, or dropped, at any time."""
        return MySQLWords(cache(partial(keys_of, connection, source.name))) if isinstance(source, Table) else self.words

    def file_descriptor(self, driver_connection: Any) -> int:
        return int(driver_connection._sock.fileno())

    @contextmanager
    def exclusive_write(self, connection: Connection, table: str) -> Iterator[None]:
        """A lock by name, which belongs to the session and not to the transaction: released, or lost with the session."""
        lock, seconds = self._lock_name(table), self.target.timeout_seconds
        got = connection.exec_driver_sql(f"SELECT GET_LOCK('{lock}', {seconds:g})").scalar()
        if got != 1:
            raise ChestUnavailable(
                f"{self.name} cannot be used (another process has been writing to {table} for {seconds:g} s)."
            )
        try:
            yield
        except DBAPIError:
            with suppress(SQLAlchemyError):  # the connection may be used again, or be lost
                connection.exec_driver_sql(f"DO RELEASE_LOCK('{lock}')")
            raise
        connection.exec_driver_sql(f"DO RELEASE_LOCK('{lock}')")

    def _lock_name(self, table: str) -> str:
        """At most 64 characters, made here: MySQL 9 has no ``MD5()``. Without regard to case, as servers may have names so."""
        place = f"{self.target.url.database}.{table}".lower()
        return f"chest:{blake2b(place.encode(), digest_size=16).hexdigest()}"

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """The driver makes as few statements of the rows as may be sent. A row that was there counts 0."""
        text = _insert_text(table.name, tuple(columns))
        stored = connection.exec_driver_sql(text, list(rows)).rowcount
        if (
            stored != len(rows)
            and "id" in columns
            and self.remove_notes(connection, table, columns, finished_rows(columns, rows))
        ):
            connection.exec_driver_sql(text, finished_rows(columns, rows))

    def require_rights(self, connection: Connection, table: Table, columns: Sequence[str] = STORED_COLUMNS) -> None:
        """EXPLAIN and PREPARE ask for the rights that the statement needs, and do nothing."""
        connection.rollback()
        if connection.exec_driver_sql(_READ_ONLY_DEFAULT).first() is not None:
            raise ChestUnavailable(f"{self.name} {CURES[ChestUnavailable]} (transactions are read-only by default).")
        connection.rollback()
        # A server that is read-only for this user refuses it.
        connection.exec_driver_sql("START TRANSACTION READ WRITE")
        if inspect(connection).has_table(table.name):
            connection.exec_driver_sql(f"EXPLAIN {_insert_text(table.name, tuple(columns))}", (None,) * len(columns))
        else:
            connection.exec_driver_sql(f"PREPARE chest_check FROM 'CREATE TABLE `{table.name}` (seq BIGINT)'")
            connection.exec_driver_sql("DEALLOCATE PREPARE chest_check")

    def table_bytes(self, connection: Connection, table: Table) -> int:
        found = "SELECT data_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
        return int(connection.exec_driver_sql(found, (table.name,)).scalar() or 0)

    def online_index_text(self, connection: Connection, index: str, table: str) -> str:
        return f"CREATE INDEX `{index}` ON `{table}` (request_id) ALGORITHM = INPLACE LOCK = NONE"

    def view_text(self, table: Table, view: str) -> str:
        """MySQL 5.7 has no ``JSON_TABLE``, and gets no view."""
        value = "JSON_EXTRACT(r.variables, CONCAT('$.', JSON_QUOTE(v.name)))"
        return (
            f"CREATE VIEW `{view}` (request_id, name, value, recorded_at, id) AS"  # noqa: S608
            f" SELECT r.request_id, v.name, IF(JSON_TYPE({value}) = 'NULL', NULL, JSON_UNQUOTE({value})),"
            " TIMESTAMPADD(MICROSECOND, r.time_ns DIV 1000, '1970-01-01 00:00:00'), r.id"
            f" FROM `{table.name}` AS r, JSON_TABLE(JSON_KEYS(r.variables), '$[*]' COLUMNS"
            " (name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$')) AS v"
        )

    def more_columns(self) -> Sequence[Column[Any]]:
        moment = Computed(
            "TIMESTAMPADD(MICROSECOND, time_ns DIV 1000, TIMESTAMP'1970-01-01 00:00:00')", persisted=False
        )
        return [Column("recorded_at", DATETIME(fsp=6), moment)]

    def view_columns(self, connection: Connection, view: str) -> list[str]:
        query = (
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS JOIN information_schema.VIEWS USING (TABLE_SCHEMA, TABLE_NAME)"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"
        )
        return list(connection.exec_driver_sql(query, (view,)).scalars())

    def change_schema(self, connection: Connection, statement: str) -> None:
        """Waits a second for a reader, not as long as the session otherwise does; meanwhile all others wait behind."""
        longest = connection.exec_driver_sql("SELECT @@SESSION.lock_wait_timeout").scalar()
        connection.exec_driver_sql("SET SESSION lock_wait_timeout = 1")
        try:
            connection.exec_driver_sql(statement)
        finally:
            connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {longest}")

    def adding_text(self, connection: Connection, table: Table, column: str) -> str:
        """A large table is not copied for it, which MySQL 5.7 would do: then the server refuses it."""
        is_large = self.table_bytes(connection, table) > LARGEST_BYTES_CHANGED
        return f"ALTER TABLE `{table.name}` ADD COLUMN {column}{', ALGORITHM = INSTANT' if is_large else ''}"

    def stored_at_value(self, moment: datetime) -> datetime:
        return moment.astimezone(UTC).replace(tzinfo=None)

    def is_passing(self, error: DBAPIError) -> bool:
        return is_passing(error.orig)

    def diagnose(self, error: Any) -> Diagnosis:
        return diagnosis_of(error)

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


def ssl_mode_of(target: SQLTarget) -> str:
    """The modes of the mysql command; if ``ssl_ca`` is given, the certificate is verified."""
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
            # The server would end the connection, which looks as if it were down, at each try.
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
