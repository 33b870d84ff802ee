"""``LaneThread``: a native daemon thread for one lane, so that a chest that does not answer keeps nobody else waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.delivery.nap import Nap
from chest.native import new_lock, sleep, start_thread

_SHORTEST_SLEEP_SECONDS: Final = 0.01
_AFTER_MISHAP_SECONDS: Final = 1.0


class LaneThread:
    """Steps a lane for as long as there is something to do, and sleeps, without waking up, when there is not.

    :param progressed: called after each batch that was written.
    """

    def __init__(self, lane: Lane, counters: Counters, progressed: Callable[[], None]) -> None:
        self._lane = lane
        self._counters = counters
        self._progressed = progressed
        self._is_stopping = False
        self._nap = Nap()
        self._ended = new_lock()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError when the system gives none."""
        self._ended.acquire()
        try:
            start_thread(self._run)
        except BaseException:
            self._ended.release()
            raise

    def wake(self) -> None:
        """There is something to do."""
        self._nap.end()

    def stop(self) -> None:
        """Have it end, and close the chest, after what it is doing."""
        self._is_stopping = True
        self.wake()

    def has_ended_by(self, deadline: float) -> bool:
        """Wait for its end, no longer than until ``deadline`` (monotonic seconds): it may be inside a chest."""
        if not self._ended.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        self._ended.release()
        return True

    def _run(self) -> None:
        try:
            self._survived(self._lane.open)
            while not self._is_stopping:
                self._survived(self._step_or_sleep)
            self._lane.close()
        finally:
            self._ended.release()

    def _survived(self, act: Callable[[], None]) -> None:
        """Do it; whatever it raises, there is no other thread for this chest."""
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - MemoryError outside of a chest; the batch is kept
            self._counters.add("lane_restarts")
            self._counters.error(f"a lane was interrupted by {type(error).__name__}")
            sleep(_AFTER_MISHAP_SECONDS)

    def _step_or_sleep(self) -> None:
        if self._lane.step():
            self._progressed()
            return
        seconds = self._lane.seconds_to_sleep()
        self._nap.take(None if seconds is None else max(_SHORTEST_SLEEP_SECONDS, seconds))
