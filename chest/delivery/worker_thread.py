"""``WorkerThread``: a native daemon thread for one worker, so that a chest that does not answer holds up no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.system.threads import Claim, WakeEvent, new_lock, sleep, start_thread

_SHORTEST_SLEEP_SECONDS: Final = 0.01
_AFTER_MISHAP_SECONDS: Final = 1.0


class WorkerThread:
    """Steps a worker while it has something to do; sleeps otherwise, without polling.

    :param progressed: called after each batch that was written.
    """

    def __init__(self, worker: ChestWorker, counters: Counters, progressed: Callable[[], None]) -> None:
        self._worker = worker
        self._counters = counters
        self._progressed = progressed
        self._is_stopping = False
        self._wake_event = WakeEvent()
        self._ended = new_lock()
        self.was_given_up = False
        """True if it was not started, and never will be."""

    def start(self) -> None:
        """Start the thread. Raises RuntimeError when the system gives none."""
        claim = Claim()
        self._ended.acquire()

        def run() -> None:
            if claim.take():
                self._run()

        try:
            start_thread(run)
        except BaseException:
            if claim.take():  # else the thread runs, and this is of a signal handler
                self.was_given_up = True
                self._ended.release()
            raise

    def wake(self) -> None:
        """There is something to do."""
        self._wake_event.set()

    def stop(self) -> None:
        """Have it end, and close the chest, after what it is doing."""
        self._is_stopping = True
        self.wake()

    def wait_for_end(self, deadline: float) -> bool:
        """Wait for its end, no longer than until ``deadline`` (monotonic seconds): it may be inside a chest."""
        if not self._ended.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        self._ended.release()
        return True

    def _run(self) -> None:
        try:
            self._survived(self._worker.open)
            while not self._is_stopping:
                self._survived(self._step_or_sleep)
            self._worker.close()
        finally:
            self._ended.release()

    def _survived(self, act: Callable[[], None]) -> None:
        """Do it, and survive any exception: this chest has no other thread."""
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - MemoryError outside of a chest; the batch is kept
            self._counters.add("chest_thread_restarts")
            self._counters.fault("the thread of a chest was interrupted by %s", type(error).__name__)
            sleep(_AFTER_MISHAP_SECONDS)

    def _step_or_sleep(self) -> None:
        if self._worker.step():
            self._progressed()
            return
        seconds = self._worker.seconds_to_sleep()
        self._wake_event.wait(None if seconds is None else max(_SHORTEST_SLEEP_SECONDS, seconds))
