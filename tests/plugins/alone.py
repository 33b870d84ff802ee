"""Tests that measure time or memory have the machine to themselves, even if pytest-xdist runs others beside them.

All workers of a run share two lock files. An ordinary test holds the second one together with others; a test marked ``alone``
holds it by itself. A process that waits for it keeps the first one, so that no other test begins before.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

_files: list[BinaryIO] = []
_kept: list[BinaryIO] = []
"""The second file, if this worker holds it from one test to the next."""


def pytest_configure(config: pytest.Config) -> None:
    """Open the two lock files of this run, if it has more than one worker."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run:
        paths = [Path(tempfile.gettempdir(), f"chest-tests-{run}-{name}.lock") for name in ("turn", "machine")]
        _files.extend(path.open("wb") for path in paths)


def pytest_unconfigure() -> None:
    """Let go of the lock files; the last one to do so has removed them."""
    while _files:
        file = _files.pop()
        Path(file.name).unlink(missing_ok=True)
        file.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They come first and in a row, so that all others wait for them once."""
    items.sort(key=lambda item: not _is_alone(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[object]:
    """Wait for the machine before the test's own time begins, and keep it for the next one that is to be alone."""
    if not _files:
        return (yield)
    turn, machine = _files
    if not (_is_alone(item) and machine in _kept):
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if _is_alone(item) else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
    _kept.clear()
    try:
        return (yield)
    finally:
        if _is_alone(item) and nextitem is not None and _is_alone(nextitem):
            _kept.append(machine)
        else:
            fcntl.flock(machine, fcntl.LOCK_UN)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None
