"""``Tally``: counts each request that ended, in the request's time: it never waits, takes no room and never raises."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from mmap import mmap
from typing import Any, Final

from chest import native
from chest.native import IS_NATIVE, Segment
from chest.ring.tally.table import (
    BOUNDS_NS,
    BUCKETS,
    EXEMPLAR,
    EXEMPLAR_ID,
    EXEMPLAR_SECONDS,
    MOST_ID_BYTES,
    SLOT_BYTES,
    SLOT_COUNT,
    SLOTS,
    TABLE_BYTES,
    write_figures,
    write_header,
    write_labels,
)
from chest.system.threads import new_lock

_MOST_KNOWN: Final = 4096
"""Of the ways in which a request may say the same labels: a status has a text, a route may be any."""
OVERFLOW: Final = ("otel_metric_overflow",)
"""The labels of requests whose own found no room; OpenTelemetry's word for it."""
_EXEMPLAR_NS: Final = EXEMPLAR_SECONDS * 1_000_000_000


class TallyInPython:
    """Where no compiled part is. Counts wait in a deque for the one thread that has the lock: no other waits for it."""

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}
        self.memory: mmap = Segment(-1, TABLE_BYTES)
        self._waiting: deque[tuple[int, int, int, str]] = deque()
        self._counting = new_lock()

    def count(self, place: int, time_ns: int, duration_ns: int, request_id: str, /) -> None:
        """Count a request that ended at this time, at the place of its labels."""
        self._waiting.append((place, time_ns, duration_ns, request_id))
        while self._waiting and self._counting.acquire(False):
            try:
                self._count_those_that_wait()
            finally:
                self._counting.release()

    def _count_those_that_wait(self) -> None:
        while self._waiting:
            place, time_ns, duration_ns, request_id = self._waiting.popleft()
            with (
                memoryview(self.memory) as memory,
                memory[place : place + SLOT_BYTES] as slot,
                slot.cast("Q") as numbers,
            ):
                numbers[1 + bisect_left(BOUNDS_NS, duration_ns)] += 1
                numbers[1 + BUCKETS] += duration_ns
                at = EXEMPLAR // 8
                if time_ns <= numbers[at + 1] + _EXEMPLAR_NS and duration_ns <= numbers[at + 2]:
                    continue
                if len(request_id) <= MOST_ID_BYTES and request_id.isascii():
                    numbers[at] |= 1
                    numbers[at + 1], numbers[at + 2], numbers[at + 3] = time_ns, duration_ns, len(request_id)
                    slot[EXEMPLAR_ID : EXEMPLAR_ID + len(request_id)] = request_id.encode()
                    numbers[at] += 1


class Tally(native.Tally if IS_NATIVE else TallyInPython):  # type: ignore[misc]
    """Counts requests by their labels.

    Any number of labels may come: when the table is full, the rest is counted as :data:`OVERFLOW`.
    """

    def __init__(self) -> None:
        self.begin({})

    def begin(self, description: Mapping[str, Any]) -> None:
        """Count anew, in memory of this process alone: in a forked child too, whose parent's threads may have had the locks."""
        super().__init__()
        self._placing = new_lock()
        memory = Segment(-1, TABLE_BYTES)
        write_header(memory, description)
        write_labels(memory, 0, OVERFLOW)
        self.known.clear()
        self._places: dict[tuple[str, ...], int] = {OVERFLOW: SLOTS}
        self.memory = memory

    def place_of(self, key: object, labels: Sequence[str]) -> int:
        """Where requests with these labels are counted.

        :param key: what a request says that has these labels, plain texts: it is asked no more.
        """
        labels = tuple(labels)
        place = self._places.get(labels)
        if place is None:
            # The thread may be interrupted by a signal handler whose request comes here: that one is not to wait for itself.
            if not self._placing.acquire(False):
                return SLOTS
            try:
                place = self._new_place(labels)
            finally:
                self._placing.release()
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known[key] = place
        return place

    def _new_place(self, labels: tuple[str, ...]) -> int:
        number = len(self._places)
        if number >= SLOT_COUNT or not write_labels(self.memory, number, labels):
            return SLOTS
        place = self._places[labels] = SLOTS + number * SLOT_BYTES
        return place

    def tell(self, figures: Mapping[str, Any]) -> bool:
        """Put what the recorder knows of itself beside the counts; False if it is too much."""
        return write_figures(self.memory, figures)
