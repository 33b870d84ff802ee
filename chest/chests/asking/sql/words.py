"""``Words``: the parts of a question that databases write differently. Values are bound, and names are checked."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from chest.chests.asking.conditions import Name
from chest.chests.asking.cube import FAILED, SAMPLE_RATE, STATUSES
from chest.record.encoding import decode

__all__ = ["COMPARED", "EXACT_WHOLE", "Part", "Words"]

_PART_OF_NAME: Final = re.compile(r"[^\x00-\x1f\"'\\%$\[\]{}?:.`]+")
"""What of a variable's name may stand in SQL, between quotes: other names are left to Python."""
EXACT_WHOLE: Final = 2**53
"""From here on, a database may take a whole number for another one."""
COMPARED: Final = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}


class Part(NamedTuple):
    """A piece of SQL with the values that are bound in it."""

    text: str
    values: tuple[Any, ...] = ()


class Words(ABC):
    """How one database says it. A method that makes a condition may make one that is NULL for false."""

    mark: ClassVar[str]
    """Stands for a value that is bound."""
    quote: ClassVar[str] = '"'
    division: ClassVar[str] = "/"
    """Of whole numbers."""

    def field(self, name: str) -> str:
        """A column."""
        return f"{self.quote}{name}{self.quote}"

    def time_bound(self, operator: str, plus: str = "") -> str:
        """A condition on the time of a request, with a mark for the bound in nanoseconds.

        :param plus: in front of the column: what keeps a database from an index on it.
        """
        return f"{plus}{self.field('time_ns')} {operator} {self.mark}"

    @abstractmethod
    def same(self, text: str, value: str) -> Part:
        """The text is this one, character by character."""

    def same_field(self, column: str, value: str) -> Part:
        """:meth:`same` for a column, of which there may be an index."""
        return self.same(column, value)

    @abstractmethod
    def compares(self, text: str, operator: str, value: str) -> Part:
        """The text stands so to this one, character by character."""

    @abstractmethod
    def starts(self, text: str, value: str) -> Part:
        """The text begins so."""

    @abstractmethod
    def contains(self, text: str, value: str) -> Part:
        """The text has this in it."""

    @abstractmethod
    def member(self, column: str, parts: Sequence[str]) -> str:
        """The JSON value at a path of names; NULL without a value."""

    @abstractmethod
    def has_member(self, column: str, name: str) -> str:
        """True if the object in this column has a member of just this name."""

    @abstractmethod
    def is_text(self, json: str) -> str:
        """The JSON value is a text."""

    @abstractmethod
    def is_number(self, json: str) -> str:
        """The JSON value is a number."""

    @abstractmethod
    def is_word(self, json: str, word: str) -> str:
        """The JSON value is this one of ``true``, ``false`` and ``null``."""

    @abstractmethod
    def is_null(self, json: str) -> str:
        """There is no JSON value, or it is null."""

    @abstractmethod
    def text_of(self, json: str) -> str:
        """The text that a JSON value is."""

    @abstractmethod
    def compares_number(self, json: str, operator: str, value: int | float) -> Part:
        """The JSON value is a number that stands so to this one."""

    def hint(self, name: Name, typed: Sequence[str]) -> Part | None:
        """What is quick to look for if a variable or attribute equals one of what was typed; None if nothing is."""
        return None

    @abstractmethod
    def group_of(self, json: str) -> str:
        """A JSON value as something to group by, which :meth:`group_value` reads."""

    def group_value(self, given: Any) -> Any:
        """The value of a group's JSON; None without a value."""
        return None if given is None else decode(given)

    def text_group(self, column: str) -> str:
        """A column of text as something to group by."""
        return column

    @abstractmethod
    def bucket(self, column: str) -> str:
        """The bucket of a duration."""

    def rate(self) -> str:
        """The share of such requests that was recorded; NULL if all were."""
        return self.text_of(self.member(self.field("attributes"), (SAMPLE_RATE,)))

    def status_class(self) -> str:
        """5 for 5xx, 0 without a status."""
        status = self.field("status")
        return f"CASE WHEN {status} >= 0 AND {status} < {STATUSES} THEN {status} {self.division} 100 ELSE 0 END"

    def is_failed(self) -> str:
        """1 if the request failed, else 0."""
        outcome = self.field("outcome")
        failed = ", ".join(f"'{each}'" for each in FAILED)
        return f"CASE WHEN {outcome} <> 'ok' AND {outcome} IN ({failed}) THEN 1 ELSE 0 END"

    def json_column(self, name: Name) -> str:
        """The column in which it stands."""
        return self.field("variables" if name.place == "variable" else "attributes")

    def json(self, name: Name) -> str | None:
        """The JSON value of a variable or attribute: of just this name, else where its dots lead; None: Python has to look."""
        column = self.json_column(name)
        parts = name.name.split(".")
        if not all(_PART_OF_NAME.fullmatch(part) and part.isprintable() for part in parts):
            return None
        plain = self.member(column, (name.name,))
        if len(parts) == 1:
            return plain
        return f"CASE WHEN {self.has_member(column, name.name)} THEN {plain} ELSE {self.member(column, parts)} END"

    def negated(self, text: str) -> str:
        """Neither true nor NULL."""
        return f"NOT coalesce(({text}), {self.false})"

    false: ClassVar[str] = "0"
