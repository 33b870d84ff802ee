"""``parse``: the filter that people type, in the terminal, on the page and in a URL, as a :class:`~chest.chests.Query`.

.. code-block:: text

    filter    = [condition (blank condition)*]
    condition = name operator value ("," value)*
    operator  = "=" | "!=" | "~" | "!~" | ">" | ">=" | "<" | "<="
    value     = '"' any characters, with \\" and \\\\ as in JSON '"' | "[" or "{" JSON | characters but blank and ","
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

from chest.chests.query import EVERYTHING, Query
from chest.errors import FilterError
from chest.query.meaning import OPERATORS, Value, WrongValue, query_of_condition

__all__ = ["narrowed", "parse"]

_NAME: Final = re.compile(r"[^\s=!<>~,]+")
_OPERATOR: Final = re.compile(r"[=!<>~]+")
_BARE: Final = re.compile(r"[^\s,]*")
_OTHER_SPELLINGS: Final = {"==": "=", "<>": "!=", "=~": "~", "~=": "~", "=<": "<=", "=>": ">=", "!": "!=", "=!": "!="}
_JSON: Final = json.JSONDecoder()
_MOST_NESTED: Final = 200
"""Lists and objects in each other: interpreters differ in how many they can read."""


def parse(text: str | Sequence[str]) -> Query:
    """The query of a filter such as ``route=/items/<id> status>=500 duration>200ms plan!=free since=2h``.

    :param text: the filter, or the arguments of a command. An argument with blanks that is no filter is one condition, whose
        value has blanks in it.
    :raises FilterError: the text is invalid; shows the place and what was expected.
    """
    if isinstance(text, str):
        return _Parser(text).query()
    query = EVERYTHING
    for argument in text:
        query = narrowed(query, _of_argument(argument))
    return query


def narrowed(query: Query, other: Query) -> Query:
    """Records that match both queries. Of the other only times and conditions are looked at, which is what a filter makes."""
    since = [each for each in (query.since_ns, other.since_ns) if each is not None]
    until = [each for each in (query.until_ns, other.until_ns) if each is not None]
    return replace(
        query,
        since_ns=max(since, default=None),
        until_ns=min(until, default=None),
        conditions=query.conditions + other.conditions,
    )


def _of_argument(argument: str) -> Query:
    try:
        return _Parser(argument).query()
    except FilterError as error:
        if not re.search(r"\s", argument):
            raise
        try:
            return _Parser(argument, has_blanks=True).query()
        except FilterError:
            raise error from None


class _Parser:
    """Reads one filter from left to right.

    :param has_blanks: it is one condition, whose value goes on to the end.
    """

    def __init__(self, text: str, *, has_blanks: bool = False) -> None:
        self._text, self._position = text, 0
        self._bare = re.compile(r".*", re.DOTALL) if has_blanks else _BARE

    def query(self) -> Query:
        query = EVERYTHING
        while self._skip_blanks():
            query = narrowed(query, self._condition())
        return query

    def _condition(self) -> Query:
        begin = self._position
        name_text = self._take(_NAME)
        at_operator = self._position
        operator = self._take(_OPERATOR)
        if not name_text:
            raise self._error(begin, "expected a name, as in user_id=42")
        if not operator:
            raise self._error(
                at_operator, f"expected an operator, as in {name_text}=42; there are {' '.join(OPERATORS)}"
            )
        if operator not in OPERATORS:
            raise self._wrong_operator(at_operator, operator)
        values = self._values(operator)
        try:
            return query_of_condition(name_text, operator, values)
        except WrongValue as error:
            value, name_end = error.value, begin + len(name_text)
            suggestion = self._with(begin, name_end, error.meant_name) or self._with(
                value.position, value.position + len(value.text), error.meant
            )
            raise self._error(value.position, str(error), suggestion) from None
        except ValueError as error:
            suggestion = self._with(begin, begin + len(name_text), getattr(error, "meant", None))
            raise self._error(begin, str(error), suggestion) from None

    def _values(self, operator: str) -> list[Value]:
        values = [self._value()]
        while self._text.startswith(",", self._position):
            if operator not in ("=", "!=", "~", "!~"):
                raise self._error(self._position, f"{operator} compares with one value; a list is for = != ~ and !~")
            self._position += 1
            values.append(self._value())
        if self._position < len(self._text) and not self._text[self._position].isspace():
            raise self._error(self._position, "expected a blank before the next condition")
        return values

    def _value(self) -> Value:
        begin = self._position
        may_be_json = self._text.startswith(("[", "{"), begin)
        if may_be_json and _nesting(self._text[begin:]) > _MOST_NESTED:
            raise self._error(begin, "this is nested too deeply to be read")
        try:
            if self._text.startswith('"', begin):
                text, self._position = json.decoder.scanstring(self._text, begin + 1, False)  # type: ignore[attr-defined]
                return Value(text, True, begin)
            if may_be_json:
                _, self._position = _JSON.raw_decode(self._text, begin)
                return Value(self._text[begin : self._position], True, begin)
        except ValueError:
            if self._text[begin] == '"':
                raise self._error(begin, 'this " has no end; a " in a value is written \\"') from None
            self._position = begin  # a text that begins like JSON
        return Value(self._take(self._bare), False, begin)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            return ""
        self._position = match.end()
        return match[0]

    def _skip_blanks(self) -> bool:
        while self._position < len(self._text) and self._text[self._position].isspace():
            self._position += 1
        return self._position < len(self._text)

    def _wrong_operator(self, position: int, operator: str) -> FilterError:
        known = max((each for each in OPERATORS if operator.startswith(each)), key=len, default="")
        if operator in _OTHER_SPELLINGS or not known:
            meant = _OTHER_SPELLINGS.get(operator)
            reason = f"{operator} is no operator; write {meant or ' '.join(OPERATORS)}"
            return self._error(position, reason, self._with(position, position + len(operator), meant))
        rest = operator.removeprefix(known)
        return self._error(position + len(known), f'a value that begins with {rest} is quoted: {known}"{rest}..."')

    def _with(self, begin: int, end: int, meant: str | None) -> str | None:
        """The filter with another text at this place."""
        return None if meant is None else f"{self._text[:begin]}{meant}{self._text[end:]}"

    def _error(self, position: int, reason: str, suggestion: str | None = None) -> FilterError:
        return FilterError(self._text, position, reason, suggestion)


def _nesting(text: str) -> int:
    """At most so many lists and objects lie in each other in this text."""
    return max(accumulate((each in "[{") - (each in "]}") for each in text))
