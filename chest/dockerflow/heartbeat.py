"""``Heartbeat``: runs checks in threads, each for a bounded time, and keeps their results for a moment."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple, TypeAlias

from chest.dockerflow.checks.messages import ERROR, WARNING, CheckMessage
from chest.dockerflow.checks.running import Check, ChecksResults, failure, messages_of, results_of
from chest.dockerflow.health import ERROR_CHECK_TIMED_OUT
from chest.system.fork_guard import call_in_child, check_fork

__all__ = ["Heartbeat"]

_GRACE_SECONDS: Final = 1.0
"""How much longer than the checks a request waits for another request that runs them."""
_BACKGROUND_SECONDS: Final = 0.1
"""How long a request waits for checks in the background: most stores answer sooner, and the heartbeat is to answer in 0.2 s."""
_LAST_ANSWER_SECONDS: Final = 1.0
"""How long the last result of a check in the background is used while a new one is pending."""

_Within: TypeAlias = Callable[[], AbstractContextManager[object]]


class Heartbeat:
    """Runs checks for a public endpoint: safe however often it is requested, and whatever a check does.

    Each check runs in a thread of its own, and is not started again while it hangs. A check of the application is waited
    for, at most ``timeout_seconds``; one that was late is waited for no longer than one in the background until it answers
    in time again, so a request is held once and not each time. A check in the background is waited for 0.1 s; then its last answer
    stands in for a second, and later a warning says for how long there was none. Results are kept for ``cache_seconds``. Of requests
    that come later at once, one runs the checks; the others get the last results, or wait for it if those are older than ``timeout_seconds``.

    :param clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()
        call_in_child(self._begin)  # a lock may be held at the fork, and the threads are not in the child

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._runs: dict[str, _Run] = {}

    def results(
        self,
        checks: Mapping[str, Check],
        silenced: Collection[str] = (),
        *,
        timeout_seconds: float,
        cache_seconds: float,
        within: _Within = nullcontext,
        background: Mapping[str, Check] | None = None,
    ) -> ChecksResults:
        """The results of the checks, of now or of a moment ago.

        :param checks: by name.
        :param silenced: ids of messages to leave out.
        :param timeout_seconds: after this time a check counts as hanging.
        :param cache_seconds: how long results are kept.
        :param within: makes the context manager in which a check runs, such as an application's context.
        :param background: checks for which a request waits at most 0.1 s, by name; shown before the others. They are
            never worse than a warning when they hang. A name that is among ``checks`` is left out.
        """
        check_fork()
        asked = [(name, check, True) for name, check in (background or {}).items() if name not in checks]
        asked += [(name, check, False) for name, check in checks.items()]
        key = (asked, frozenset(silenced))
        kept = self._kept
        if kept is not None and kept.key == key and self._clock() < kept.until:
            return kept.results
        is_ours = self._lock.acquire(blocking=False)
        if not is_ours and kept is not None and kept.key == key and self._clock() < kept.until + timeout_seconds:
            return kept.results  # a moment old, and the request that runs the checks may be held by one of them
        if not is_ours:
            is_ours = self._lock.acquire(timeout=(timeout_seconds if checks else 0.0) + _GRACE_SECONDS)
        try:
            kept = self._kept
            if kept is None or kept.key != key or self._clock() >= kept.until:
                results = results_of(self._run(asked, timeout_seconds, within), silenced)
                self._kept = kept = _Kept(key, results, self._clock() + cache_seconds)
            return kept.results
        finally:
            if is_ours:
                self._lock.release()

    def _run(
        self, asked: list[_Asked], timeout_seconds: float, within: _Within
    ) -> list[tuple[str, list[CheckMessage]]]:
        runs = [
            self._run_of(name, check, _BACKGROUND_SECONDS if is_background else timeout_seconds, within)
            for name, check, is_background in asked
        ]
        for run in runs:
            run.wait()
        self._runs = {run.name: run for run in runs}  # a check that is not asked for any more ends by itself
        return [
            (run.name, run.messages_so_far(is_background=is_background))
            for run, (_, _, is_background) in zip(runs, asked, strict=True)
        ]

    def _run_of(self, name: str, check: Check, longest_seconds: float, within: _Within) -> _Run:
        """The run of this check that has not ended; otherwise a new one, started."""
        last = self._runs.get(name)
        if last is not None and last.check != check:
            last = None
        if last is not None and not last.is_done:
            return last
        was_late = last is not None and last.seconds > longest_seconds
        run = _Run(name, check, self._clock, _BACKGROUND_SECONDS if was_late else longest_seconds, last)
        run.start(within)
        return run


_Asked: TypeAlias = tuple[str, Check, bool]
"""Name, check, and True for one in the background."""


class _Kept(NamedTuple):
    key: tuple[list[_Asked], frozenset[str]]
    results: ChecksResults
    until: float


class _Run:
    """A check that was started.

    :param clock: seconds, monotonic.
    :param longest_seconds: how long requests wait for it, counted from its start.
    :param last: the run before it, which has ended; None for the first.
    """

    def __init__(
        self, name: str, check: Check, clock: Callable[[], float], longest_seconds: float, last: _Run | None
    ) -> None:
        self.name = name
        self.check = check
        self.began = clock()
        self.seconds = 0.0
        """How long the check took; only once it is done."""
        self.messages: list[CheckMessage] = []
        self._last_messages = None if last is None else last.messages
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._done = threading.Event()

    def start(self, within: _Within) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._run, within), name=f"chest-check-{self.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            self.messages = [failure(self.name, error)]
            self._done.set()

    def _run(self, within: _Within) -> None:
        try:
            with within():
                self.messages = messages_of(self.name, self.check)
        except BaseException as error:  # noqa: BLE001 - a SystemExit in a check ends the check, and nothing else
            self.messages = [failure(self.name, error)]
        finally:
            self.seconds = self._clock() - self.began
            self._done.set()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self) -> None:
        self._done.wait(max(0.0, self.began + self._longest_seconds - self._clock()))

    def messages_so_far(self, *, is_background: bool) -> list[CheckMessage]:
        """The messages of the check; before it has ended, those to show meanwhile."""
        if self.is_done:
            return self.messages
        seconds = self._clock() - self.began
        if is_background and self._last_messages is not None and seconds < _LAST_ANSWER_SECONDS:
            return self._last_messages
        text = f"The check gave no answer yet for {seconds:.1f} s."
        return [CheckMessage(text, level=WARNING if is_background else ERROR, id=ERROR_CHECK_TIMED_OUT)]
