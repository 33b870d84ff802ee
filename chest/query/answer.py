"""``Answer``: what all answers have: rows, what they rest on, and the way into a data frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chest.chests.asking.cube import Basis
from chest.errors import MissingDependencyError

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer(ABC):
    """An answer.

    :param basis: exact or estimated, and from how many records of how many.
    :param begin_ns: where the time range begins that it is about, in Unix time.
    :param end_ns: where it ends.
    """

    basis: Basis
    begin_ns: int
    end_ns: int

    @abstractmethod
    def table(self) -> Sequence[dict[str, Any]]:
        """The answer as a table: a mapping of column to value for each row, the same columns in each."""

    def to_pandas(self) -> Any:
        """The table as a data frame of pandas.

        :raises MissingDependencyError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise MissingDependencyError("to_pandas needs pandas: pip install pandas.") from error
        return DataFrame(list(self.table()))

    def to_polars(self) -> Any:
        """The table as a data frame of polars.

        :raises MissingDependencyError: polars is not installed.
        """
        try:
            from polars import DataFrame
        except ImportError as error:
            raise MissingDependencyError("to_polars needs polars: pip install polars.") from error
        return DataFrame(list(self.table()), infer_schema_length=None)
