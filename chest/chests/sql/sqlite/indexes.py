"""``SQLiteVariableIndexes``: an index on the expression that a filter asks for, so that SQLite takes it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from chest.chests.asking.conditions import Name
from chest.chests.sql.sqlite.asking import SQLITE_WORDS
from chest.chests.sql.sqlite.database import SQLiteDatabase
from chest.chests.upkeep import VariableIndex, VariableIndexes
from chest.errors import SettingsError
from chest.system.fork_safe_connection import ForkSafeConnection

__all__ = ["SQLiteVariableIndexes"]

_PLACES: Final = ("variable", "attribute")
_SIZE: Final = "SELECT sum(pgsize) FROM dbstat WHERE name = ?"
"""Of a table that SQLite has only if it was compiled so."""


class SQLiteVariableIndexes(VariableIndexes):
    """Its name says what it is on: ``chest_records variable plan``, and a digest after it, as SQLite ignores case.

    :param database: the chest's.
    :param table: the chest's.
    """

    holds_up_writers: ClassVar[bool] = True

    def __init__(self, database: SQLiteDatabase, table: str) -> None:
        self._database, self._table = database, table
        self._writing = ForkSafeConnection(database, database.connect_to_write, database.prepare)
        self._reading = ForkSafeConnection(database, database.connect_to_read)

    def found(self) -> Sequence[VariableIndex]:
        indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
        with self._database.explained(), self._reading.use() as connection:
            names = [str(name) for (name,) in connection.execute(indexes, (self._table,))]
            found = {
                index: name
                for place in _PLACES
                for index in names
                if index == self._index(name := Name(place, index.removeprefix(self._prefix(place)).rpartition(" ")[0]))
            }
            has_sizes = found and any(module == "dbstat" for (module,) in connection.execute("PRAGMA module_list"))
            # Of each index by itself: the whole of dbstat reads the whole file.
            sizes = {index: connection.execute(_SIZE, (index,)).fetchone()[0] if has_sizes else None for index in found}
        return [VariableIndex(name, sizes[index]) for index, name in found.items()]

    def make(self, name: Name) -> None:
        json = None if name.place == "field" else SQLITE_WORDS.json(name)
        if json is None:
            raise SettingsError(f"{self._database.name} cannot have an index on {name.name!r}.")
        expression = SQLITE_WORDS.text_of(json)
        text = f'CREATE INDEX IF NOT EXISTS "{self._index(name)}" ON "{self._table}" ({expression})'
        with self._database.explained(), self._writing.use() as connection:
            connection.execute(text)

    def drop(self, name: Name) -> bool:
        if name not in [index.name for index in self.found()]:
            return False
        with self._database.explained(), self._writing.use() as connection:
            connection.execute(f'DROP INDEX IF EXISTS "{self._index(name)}"')
        return True

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _prefix(self, place: str) -> str:
        return f"{self._table} {place} "

    def _index(self, name: Name) -> str:
        return f"{self._prefix(name.place)}{name.name} {self._digest_of(self._table, name)}"
