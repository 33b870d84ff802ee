"""``MySQLVariableIndexes``: an index on a column that MySQL computes from a variable, made while writers go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from chest.chests.asking.conditions import Name
from chest.chests.sql.mysql.asking import KEY_CHARACTERS, MYSQL_WORDS
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.errors import SettingsError

if TYPE_CHECKING:
    from chest.chests.sql.mysql.dialect import MySQLDatabase

__all__ = ["MySQLVariableIndexes", "keys_of"]

_LONGEST_SECONDS: Final = 86_400
_MARK: Final = "chest: index on "
"""Begins the comment on such a column, which says what it is of."""
_LONGEST_COMMENT: Final = 1024
_WHILE_WRITTEN: Final = "ALGORITHM = INPLACE, LOCK = NONE"
"""A server that cannot do this refuses it."""
_FOUND: Final = """
    SELECT DISTINCT COLUMN_COMMENT, COLUMN_NAME FROM information_schema.COLUMNS JOIN information_schema.STATISTICS
    USING (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME)
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND LEFT(COLUMN_COMMENT, CHAR_LENGTH(%s)) = %s ORDER BY 1"""


class MySQLVariableIndexes(VariableIndexes):
    """On how the value begins as a text: an index of InnoDB holds 767 bytes of a row, in older formats of a table.

    The column is virtual: it takes no room, and MariaDB, which knows no index on an expression, has it too. A question names it.

    :param database: the chest's.
    :param table: the chest's.
    """

    holds_up_writers: ClassVar[bool] = False

    def __init__(self, database: MySQLDatabase, table: str) -> None:
        self._database, self._table = database, table

    def found(self) -> Sequence[VariableIndex]:
        with self._connected() as connection:
            return [VariableIndex(name, None) for name in keys_of(connection, self._table)]

    def make(self, name: Name) -> None:
        said, column = f"{_MARK}{name.place} {name.name}", self._column(name)
        json = None if name.place == "field" else MYSQL_WORDS.json(name)
        if json is None or len(said) > _LONGEST_COMMENT:
            raise SettingsError(f"{self._database.name} cannot have an index on {name.name!r}.")
        with self._connected() as connection:
            if name in keys_of(connection, self._table):
                return
            self._remove(connection, column)  # what a failure left has no index
            try:
                self._alter(
                    connection,
                    f"ADD COLUMN `{column}` VARCHAR({KEY_CHARACTERS}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
                    f" GENERATED ALWAYS AS ({MYSQL_WORDS.key_of(json)}) VIRTUAL COMMENT '{said}'",
                )
                self._alter(connection, f"ADD INDEX `{column}` (`{column}`)")
            except DBAPIError:
                with suppress(DBAPIError):
                    self._remove(connection, column)
                raise

    def drop(self, name: Name) -> bool:
        with self._connected() as connection:
            is_there = name in keys_of(connection, self._table)
            self._remove(connection, self._column(name))
        return is_there

    def close(self) -> None:
        """Nothing is kept open."""

    def _column(self, name: Name) -> str:
        return f"chest_key_{self._digest_of(self._table, name)}"

    def _remove(self, connection: Connection, column: str) -> None:
        """With its index, if there is one."""
        there = "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND COLUMN_NAME = %s"
        if connection.exec_driver_sql(there, (self._table, column)).first() is not None:
            self._alter(connection, f"DROP COLUMN `{column}`")

    def _alter(self, connection: Connection, change: str) -> None:
        connection.rollback()  # or the reading before would have the change wait
        self._database.change_schema(connection, f"ALTER TABLE `{self._table}` {change}, {_WHILE_WRITTEN}")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that waits as long as making an index takes."""
        with self._database.explained(), self._database.connect_to_write() as connection:
            driver: Any = connection.connection.driver_connection
            driver._read_timeout = _LONGEST_SECONDS
            if connection.dialect.is_mariadb:  # type: ignore[attr-defined]
                connection.exec_driver_sql("SET SESSION max_statement_time = 0")
            yield connection


def keys_of(connection: Connection, table: str) -> Mapping[Name, str]:
    """The columns with an index that were made here, by what they are of."""
    found = {}
    for said, column in connection.exec_driver_sql(_FOUND, (table, _MARK, _MARK)).fetchall():
        place, _, name = str(said).removeprefix(_MARK).partition(" ")
        found[Name("variable" if place == "variable" else "attribute", name)] = str(column)
    return found
