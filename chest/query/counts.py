"""``Counts``: requests put together out of the cells of a cube: how many, how many failed, how long they took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from chest.chests.asking.cube import Cell
from chest.chests.asking.durations import percentile_ns

__all__ = ["PERCENTILES", "Counts", "counted"]

K = TypeVar("K", bound=Hashable)
PERCENTILES: Final = {"p50_ns": 0.5, "p95_ns": 0.95, "p99_ns": 0.99}


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
