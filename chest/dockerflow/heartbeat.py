"""``Heartbeat``: checks run at once, each for a bounded time, and what they said kept for a moment."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple

from chest.dockerflow.checks.messages import ERROR, CheckMessage
from chest.dockerflow.checks.running import Check, ChecksResults, failure, messages_of, results_of
from chest.dockerflow.health import ERROR_CHECK_TIMED_OUT

__all__ = ["Heartbeat"]

_GRACE_SECONDS: Final = 1.0
"""How much longer than the checks may take a request waits for another that runs them."""


class Heartbeat:
    """Runs checks for a public endpoint: however often it is asked, and whatever a check does.

    Each check runs in a thread of its own, so that one that hangs holds up no other and, after ``timeout_seconds``, no
    answer; it is not started again while it hangs. Results are kept for ``cache_seconds``, and of requests that come
    meanwhile one runs the checks and the others wait for it.

    :param clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._hanging: dict[str, _Run] = {}

    def results(
        self,
        checks: Mapping[str, Check],
        silenced: Collection[str] = (),
        *,
        timeout_seconds: float,
        cache_seconds: float,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> ChecksResults:
        """What the checks say, now or a moment ago.

        :param checks: by name.
        :param silenced: ids of messages to leave out.
        :param timeout_seconds: after which a check is said to hang.
        :param cache_seconds: for which results are kept.
        :param within: gives the context manager in which a check is to run, such as an application's context.
        """
        if self._pid != os.getpid():  # a lock may have been held at the fork, and the threads are not in this process
            self._begin()
        asked = (list(checks.items()), frozenset(silenced))
        kept = self._kept
        if kept is not None and kept.asked == asked and self._clock() < kept.until:
            return kept.results
        is_ours = self._lock.acquire(timeout=timeout_seconds + _GRACE_SECONDS)
        try:
            kept = self._kept
            if kept is None or kept.asked != asked or self._clock() >= kept.until:
                results = results_of(self._run(asked[0], timeout_seconds, within), silenced)
                self._kept = kept = _Kept(asked, results, self._clock() + cache_seconds)
            return kept.results
        finally:
            if is_ours:
                self._lock.release()

    def _run(
        self,
        checks: list[tuple[str, Check]],
        timeout_seconds: float,
        within: Callable[[], AbstractContextManager[object]],
    ) -> list[tuple[str, list[CheckMessage]]]:
        deadline = self._clock() + timeout_seconds
        runs = []
        for name, check in checks:
            run = self._hanging.pop(name, None)
            if run is None or run.is_done or run.check != check:
                run = _Run(name, check, self._clock(), deadline)
                run.start(within)
            runs.append(run)
        said = []
        for run in runs:
            if run.wait(run.deadline - self._clock()):
                said.append((run.name, run.messages))
            else:
                self._hanging[run.name] = run
                said.append((run.name, [run.late_message(self._clock())]))
        return said


class _Kept(NamedTuple):
    asked: tuple[list[tuple[str, Check]], frozenset[str]]
    results: ChecksResults
    until: float


class _Run:
    """A check that was started."""

    def __init__(self, name: str, check: Check, began: float, deadline: float) -> None:
        self.name = name
        self.check = check
        self.messages: list[CheckMessage] = []
        self.deadline = deadline
        self._began = began
        self._done = threading.Event()

    def start(self, within: Callable[[], AbstractContextManager[object]]) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._run, within), name=f"chest-check-{self.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            self.messages = [failure(self.name, error)]
            self._done.set()

    def _run(self, within: Callable[[], AbstractContextManager[object]]) -> None:
        try:
            with within():
                self.messages = messages_of(self.name, self.check)
        except BaseException as error:  # noqa: BLE001 - a SystemExit in a check ends the check, and nothing else
            self.messages = [failure(self.name, error)]
        finally:
            self._done.set()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(max(0.0, seconds))

    def late_message(self, now: float) -> CheckMessage:
        level = getattr(self.check, "level_when_late", ERROR)
        text = f"The check gave no answer within {self.deadline - self._began:.3g} s; it was started {now - self._began:.0f} s ago."
        return CheckMessage(text, level=level, id=ERROR_CHECK_TIMED_OUT)
