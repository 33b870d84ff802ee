"""MySQL's and MariaDB's words for a question. Texts are compared as bytes: their collations take ``"shop "`` for ``"shop"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from chest.chests.asking.conditions import Name
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.sql.asking.words import Part, Words

__all__ = ["MYSQL_WORDS"]

_BYTES: Final = "CAST(%s AS BINARY)"


class _MySQLWords(Words):
    mark: ClassVar[str] = "%s"
    quote: ClassVar[str] = "`"
    division: ClassVar[str] = "DIV"

    def same(self, text: str, value: str) -> Part:
        return Part(f"{_bytes_of(text)} = {_BYTES}", (value,))

    def same_field(self, column: str, value: str) -> Part:
        return Part(f"{column} = %s AND {_bytes_of(column)} = {_BYTES}", (value, value))

    def compares(self, text: str, operator: str, value: str) -> Part:
        return Part(f"{_bytes_of(text)} {operator} {_BYTES}", (value,))

    def starts(self, text: str, value: str) -> Part:
        return Part(f"LEFT({_bytes_of(text)}, {len(value.encode())}) = {_BYTES}", (value,))

    def contains(self, text: str, value: str) -> Part:
        return Part(f"LOCATE({_BYTES}, {_bytes_of(text)}) > 0", (value,))

    def member(self, column: str, parts: Sequence[str]) -> str:
        return f"JSON_EXTRACT({column}, '{_path(parts)}')"

    def json(self, name: Name) -> str | None:
        """With one path out of two: MySQL 5.7 loses the NULL of a CASE over JSON."""
        found, column = super().json(name), self.json_column(name)
        if found is None or "." not in name.name:
            return found
        plain, nested = _path((name.name,)), _path(name.name.split("."))
        return f"JSON_EXTRACT({column}, IF({self.has_member(column, name.name)}, '{plain}', '{nested}'))"

    def has_member(self, column: str, name: str) -> str:
        return f"JSON_CONTAINS_PATH({column}, 'one', '{_path((name,))}')"

    def is_text(self, json: str) -> str:
        return f"JSON_TYPE({json}) = 'STRING'"

    def is_number(self, json: str) -> str:
        return f"JSON_TYPE({json}) IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL')"

    def is_word(self, json: str, word: str) -> str:
        if word == "null":
            return f"JSON_TYPE({json}) = 'NULL'"
        return f"JSON_TYPE({json}) = 'BOOLEAN' AND JSON_UNQUOTE({json}) = '{word}'"

    def is_null(self, json: str) -> str:
        return f"coalesce(JSON_TYPE({json}), 'NULL') = 'NULL'"

    def text_of(self, json: str) -> str:
        return f"JSON_UNQUOTE({json})"

    def compares_number(self, json: str, operator: str, value: int | float) -> Part:
        return Part(f"{self.is_number(json)} AND JSON_UNQUOTE({json}) + 0e0 {operator} %s", (value,))

    def group_of(self, json: str) -> str:
        return _bytes_of(f"CAST({json} AS CHAR)")

    def text_group(self, column: str) -> str:
        return _bytes_of(column)

    def bucket(self, column: str) -> str:
        return f"INTERVAL({column}, {', '.join(map(str, BOUNDARIES_NS))})"


def _bytes_of(text: str) -> str:
    return f"CAST({text} AS BINARY)"


def _path(parts: Sequence[str]) -> str:
    return "$" + "".join(f'."{part}"' for part in parts)


MYSQL_WORDS: Final = _MySQLWords()
