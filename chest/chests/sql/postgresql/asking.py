"""PostgreSQL's words for a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from chest.chests.asking.cube import SAMPLE_RATE
from chest.chests.asking.durations import BOUNDARIES_NS
from chest.chests.asking.sql.words import Part, Words
from chest.record.encoding import encode

__all__ = ["POSTGRESQL_WORDS"]

_HEAD: Final = 200
"""Characters of a text that stand in an index on it: at most 800 bytes, of 2,704 that PostgreSQL takes."""


class _PostgreSQLWords(Words):
    mark: ClassVar[str] = "%s"
    false: ClassVar[str] = "false"

    def same(self, text: str, value: str) -> Part:
        """By its head, on which there may be an index; which says all of a value that is shorter than a head."""
        if len(value.encode()) < _HEAD:  # bytes, as a database without an encoding counts these
            return Part(f"{self.head_of(text)} = %s", (value,))
        return Part(f"{self.head_of(text)} = {self.head_of('%s')} AND {text} = %s", (value, value))

    def same_field(self, column: str, value: str) -> Part:
        return Part(f"{column} = %s", (value,))

    def compares(self, text: str, operator: str, value: str) -> Part:
        return Part(f'{text} COLLATE "C" {operator} %s', (value,))

    def starts(self, text: str, value: str) -> Part:
        return Part(f"starts_with({text}, %s)", (value,))

    def contains(self, text: str, value: str) -> Part:
        return Part(f"strpos({text}, %s) > 0", (value,))

    def member(self, column: str, parts: Sequence[str]) -> str:
        """By ``->`` and not by a path, which would also look into arrays."""
        return f"({column}{''.join(f''' -> '{part}' ''' for part in parts).rstrip()})"

    def has_member(self, column: str, name: str) -> str:
        return f"jsonb_exists({column}, '{name}')"

    def is_text(self, json: str) -> str:
        return f"jsonb_typeof({json}) = 'string'"

    def is_number(self, json: str) -> str:
        return f"jsonb_typeof({json}) = 'number'"

    def is_word(self, json: str, word: str) -> str:
        return f"{json} = '{word}'"

    def is_null(self, json: str) -> str:
        return f"coalesce(jsonb_typeof({json}), 'null') = 'null'"

    def text_of(self, json: str) -> str:
        return f"({json} #>> '{{}}')"

    def compares_number(self, json: str, operator: str, value: int | float) -> Part:
        return Part(f"{self.number_of(json)} {operator} CAST(%s AS numeric)", (encode(value).decode(),))

    def number_of(self, json: str) -> str:
        """With CASE: PostgreSQL may look at the conditions beside AND in any order, and a text is no number."""
        return f"CASE WHEN {self.is_number(json)} THEN {self.text_of(json)}::numeric END"

    def head_of(self, text: str) -> str:
        """How the text begins, as an index on it has it."""
        return f"left({text}, {_HEAD})"

    def group_of(self, json: str) -> str:
        return f"{json}::text"

    def bucket(self, column: str) -> str:
        return f"width_bucket({column}, '{{{','.join(map(str, BOUNDARIES_NS))}}}'::bigint[])"

    def rate(self) -> str:
        return f"attributes ->> '{SAMPLE_RATE}'"


POSTGRESQL_WORDS: Final = _PostgreSQLWords()
