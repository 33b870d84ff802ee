"""``Answer``: what all answers have: rows, their basis, and the way into a data frame; ``Counts``: what rows are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chest.chests.asking.cube import Basis, Cell
from chest.chests.asking.durations import percentile_ns
from chest.errors import MissingDependencyError

__all__ = ["PERCENTILES", "Answer", "Counts", "counted"]

K = TypeVar("K", bound=Hashable)
PERCENTILES: Final = {"p50_ns": 0.5, "p95_ns": 0.95, "p99_ns": 0.99}


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


class Counts:
    """Some requests, counted."""

    def __init__(self) -> None:
        self.records = 0
        """Stored records, or those that were read."""
        self.requests = 0.0
        """Requests that they stand for."""
        self.failed = 0.0
        self.total_ns = 0.0
        self.longest_ns = 0
        self.by_status_class: defaultdict[int, float] = defaultdict(float)
        self.by_bucket: defaultdict[int, float] = defaultdict(float)

    def add(self, cell: Cell) -> None:
        """Add a cell."""
        self.records += cell.records
        self.requests += cell.requests
        self.failed += cell.requests if cell.is_failed else 0
        self.total_ns += cell.total_ns
        self.longest_ns = max(self.longest_ns, cell.longest_ns)
        self.by_status_class[cell.status_class] += cell.requests
        self.by_bucket[cell.bucket] += cell.requests

    @property
    def failed_share(self) -> float:
        """From 0 to 1; 0 without requests."""
        return self.failed / self.requests if self.requests else 0.0

    def percentile_ns(self, share: float) -> float | None:
        """The duration that this share did not exceed; None without requests."""
        return percentile_ns(self.by_bucket, share, self.longest_ns)


def counted(cells: Iterable[Cell], key: Callable[[Cell], K]) -> dict[K, Counts]:
    """The cells put together by a key."""
    found: defaultdict[K, Counts] = defaultdict(Counts)
    for cell in cells:
        found[key(cell)].add(cell)
    return dict(found)
