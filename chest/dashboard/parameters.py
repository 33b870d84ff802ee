"""``Parameters``: the question in a URL, read as the commands read theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self, TypeVar
from urllib.parse import parse_qs

from chest.chests.contract import Query
from chest.chests.query import EVERYTHING
from chest.errors import FilterError, SettingsError
from chest.query.language import narrowed, parse
from chest.query.typed import moment_ns

__all__ = ["ParameterError", "Parameters"]

T = TypeVar("T")
_MOST_FIELDS: Final = 100
_LONGEST_NUMBER: Final = 12
_MILLISECOND_NS: Final = 10**6


class ParameterError(SettingsError):
    """A parameter that is invalid.

    :param parameter: its name.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter


class Parameters:
    """What stands behind the ``?`` of a URL. A parameter that is empty counts as not given.

    :param given: the values of each name.
    """

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self._given = given

    @classmethod
    def of(cls, query_string: str) -> Self:
        """The parameters of ``QUERY_STRING``.

        :raises ParameterError: there are too many.
        """
        try:
            text = query_string.encode("latin-1").decode("utf-8", "replace")
            return cls(parse_qs(text, max_num_fields=_MOST_FIELDS))
        except ValueError:
            raise ParameterError("the question", f"has more than {_MOST_FIELDS} parameters") from None

    def text(self, name: str, default: str = "") -> str:
        """The first value."""
        return next(iter(self.texts(name)), default)

    def texts(self, name: str) -> Sequence[str]:
        """Every value that is not blank."""
        return [value for value in self._given.get(name, ()) if value.strip()]

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 on."""
        text = self.text(name)
        if not text:
            return default
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else 0
        if not 1 <= number <= most:
            raise ParameterError(name, f"expected a whole number from 1 to {most:,}")
        return number

    def moment_ns(self, name: str) -> int | None:
        """``1h`` (that long ago), or a date or time of ISO 8601, as Unix time in ns."""
        return self._read(name, moment_ns)

    def milliseconds_ns(self, name: str) -> int | None:
        """Milliseconds since 1970, in ns."""
        return self._read(name, lambda text: round(float(text) * _MILLISECOND_NS))

    def filter(self, name: str = "filter") -> Query:
        """The filters of this name together.

        :raises FilterError: one of ``filter`` cannot be understood; of another name it is a :class:`ParameterError`.
        """
        query = EVERYTHING
        try:
            for text in self.texts(name):
                query = narrowed(query, parse(text))
        except FilterError as error:
            if name == "filter":
                raise
            raise ParameterError(name, error.reason) from None
        return query

    def query(self) -> Query:
        """``filter``, ``since`` and ``until``."""
        times = Query(since_ns=self.moment_ns("since"), until_ns=self.moment_ns("until"))
        return narrowed(times, self.filter())

    def _read(self, name: str, reader: Callable[[str], T]) -> T | None:
        text = self.text(name)
        try:
            return reader(text) if text else None
        except (ValueError, OverflowError) as error:
            raise ParameterError(name, str(error)) from None
