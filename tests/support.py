"""What several test files need: records made by hand, a process's state without files, waiting for a condition."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.recorder.part_records import UnrecordedProcess
from chest.ring.line import Resource
from chest.testing import records

if TYPE_CHECKING:  # many processes that tests start import this module, and pytest takes longer than all else of theirs
    import pytest

IS_QUICK: Final = "QUICK_TESTS" in os.environ
"""True in ``make quick``: the compiled implementation alone, and fewer examples of what Hypothesis makes up."""
_IS_LONG: Final = "LONG_TESTS" in os.environ
"""True in ``make test LONG_TESTS=1``: all examples."""
_ids = RecordIds()


def make_record(ids: RecordIds | None = None, **changes: Any) -> Record:
    """A record as of ``chest.testing``, but of host ``test`` and without attributes; ids increase in the order of the calls."""
    time_ns = changes.get("time_ns", time.time_ns())
    own = {"id": (ids or _ids).new(time_ns), "time_ns": time_ns, "attributes": {}, "host": "test"}
    return records.make_record(**own | changes)


def examples(count: int) -> int:
    """How many examples Hypothesis makes up for a test that takes ``count`` in a long run: a quarter, in ``make quick`` a tenth."""
    return count if _IS_LONG else count // (10 if IS_QUICK else 4)


KEEPS_CLASSES: Final = not getattr(sys, "_is_gil_enabled", lambda: True)() and sys.version_info < (3, 14)
"""CPython 3.13 without the GIL, once it has started a thread, keeps each class, and what that refers to: one is made for an application."""


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s: {condition}"
        time.sleep(0.005)


def open_files_below(place: Path) -> list[Path]:
    """The files below this directory that this process has open, one for each descriptor; others may come and go meanwhile."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed by another thread, or the one that lists them
            found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
    return [path for path in found if path.is_relative_to(place)]


def lose_patience_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have delivery in this process spool, try again and look for rings of the dead ten times as soon as it would."""
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.5)
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_SOON_SECONDS", 0.1)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.3)


class ReadyProcess(UnrecordedProcess):
    """What ``RequestMiddleware`` needs from a process, always ready, with nothing behind it."""

    def __init__(self) -> None:
        super().__init__(Resource("shop", "1.0", "test"))

    def prepare(self) -> None:
        raise AssertionError("a process that is ready is not prepared again")


def refuse_thread(run: Callable[[], None]) -> None:
    """What a process does that can start no thread."""
    raise RuntimeError("can't start new thread")


def without_delivery_threads(patched: pytest.MonkeyPatch, start: Callable[[Callable[[], None]], None] | None) -> None:
    """As in a process that has no thread that delivers.

    :param start: starts the next one, such as :func:`refuse_thread`; None: as usual.
    """
    from chest.delivery import delivery_threads  # not for the processes that tests start

    patched.setattr(delivery_threads, "_threads", delivery_threads.DeliveryThreads())
    if start is not None:
        patched.setattr(delivery_threads, "start_thread", start)
