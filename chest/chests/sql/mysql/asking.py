"""MySQL's and MariaDB's words for a question. Texts are compared as bytes: their collations take ``"shop "`` for ``"shop"``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from chest.chests.asking.conditions import Name, number_of
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.asking.sql.words import Part, Words

__all__ = ["KEY_CHARACTERS", "MYSQL_WORDS", "MySQLWords"]

_BYTES: Final = "CAST(%s AS BINARY)"
KEY_CHARACTERS: Final = 190
"""Of a value, in an index on it: 760 bytes at most. Each format of a table takes 767."""


class MySQLWords(Words):
    """:param keys: the columns with an index on a variable or attribute; asked for once, if a question can use one."""

    mark: ClassVar[str] = "%s"
    quote: ClassVar[str] = "`"
    division: ClassVar[str] = "DIV"

    def __init__(self, keys: Callable[[], Mapping[Name, str]] = dict) -> None:
        self._keys = keys

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

    def hint(self, name: Name, typed: Sequence[str]) -> Part | None:
        """By the column that an index is on."""
        column = self._keys().get(name)
        if column is None:
            return None
        texts = dict.fromkeys([*typed, *(text.strip() for text in typed)])  # JSON's words may stand between spaces
        numbers = [number for text in typed if (number := number_of(text)) is not None]
        marks = [f"LEFT(%s, {KEY_CHARACTERS})"] * len(texts) + [_number_text("%s")] * len(numbers)
        return Part(f"`{column}` IN ({', '.join(marks)})", (*texts, *numbers))

    def key_of(self, json: str) -> str:
        """What an index on a value holds: how its text begins, of a number the same text however it is written."""
        text = self.text_of(json)
        return f"LEFT(IF({self.is_number(json)}, {_number_text(text)}, {text}), {KEY_CHARACTERS})"

    def group_of(self, json: str) -> str:
        return _bytes_of(f"CAST({json} AS CHAR)")

    def text_group(self, column: str) -> str:
        return _bytes_of(column)

    def bucket(self, column: str) -> str:
        return f"INTERVAL({column}, {', '.join(map(str, BOUNDARIES_NS))})"


def _number_text(number: str) -> str:
    return f"CAST({number} + 0e0 AS CHAR)"


def _bytes_of(text: str) -> str:
    return f"CAST({text} AS BINARY)"


def _path(parts: Sequence[str]) -> str:
    return "$" + "".join(f'."{part}"' for part in parts)


MYSQL_WORDS: Final = MySQLWords()
