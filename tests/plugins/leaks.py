"""What unit tests leave behind fails them: descriptors and threads of a module, processes and temporary files of a run.

Of a run with other tests, what it leaves is only named at its end: there are servers and processes that are killed.

Each run has a directory for temporary files of its own; pytest's ``tmp_path`` stays where it was. A process of the run is known
by that directory in its environment, also if it became an orphan.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from tests.support import KEEPS_CLASSES

_PATIENCE_SECONDS: Final = 20.0
"""For what is about to end, on a machine that has much to do."""
_ROOT_VARIABLE: Final = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest has its directories; also of the workers of a run, which begin with the environment of the process that starts them."""
_OF_THE_RUN: Final = ("chest-tests-", "pytest-of-")
"""Temporary files that the plugins of a run make and remove themselves, and those of a pytest that a test runs."""
_OF_THE_PROCESS: Final = "deliver_before_termination"
"""Begins a thread that waits for a SIGTERM for as long as the process runs."""
_PROC: Final = Path("/proc")

_directory: list[Path] = []
_kept_descriptors: set[tuple[str, str]] = set()
_kept_threads: set[int] = set()
_left: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory of this run."""
    root = os.environ.setdefault(_ROOT_VARIABLE, tempfile.gettempdir())
    _directory.append(Path(tempfile.mkdtemp(prefix="chest-t-", dir=root)))
    _directory[0].chmod(0o1777)  # some tests become another user
    os.environ["TMPDIR"] = tempfile.tempdir = str(_directory[0])


@pytest.fixture(scope="module", autouse=True)
def no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if the module leaves a descriptor or a thread.

    Not in PyPy, where what was not closed ends some collections later, a SQLite file one for each of its statements.
    """
    if not _is_strict(request.config) or sys.implementation.name != "cpython" or KEEPS_CLASSES:
        yield
        return
    descriptors, threads = _descriptors(), _threads()
    yield
    left = _lasting(lambda: _new(descriptors, threads))
    _kept_descriptors.update(_descriptors())  # of one module no other is to be told
    _kept_threads.update(_threads())
    assert not left, f"{request.node.nodeid} left {', '.join(left)}"


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
    """What a fixture of the whole run opens is no module's."""
    if fixturedef.scope != "session":
        return (yield)
    descriptors, threads = _descriptors(), _threads()
    try:
        return (yield)
    finally:
        _kept_descriptors.update(_descriptors() - descriptors)
        _kept_threads.update(_threads() - threads)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[object]:
    """Look for processes and files, when all fixtures have ended, and hand what was found to the process that reports."""
    result = yield
    _left.extend(_lasting(_processes))
    _left.extend(f"the temporary {path}" for path in _directory[0].iterdir() if not path.name.startswith(_OF_THE_RUN))
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left"] = _left
    elif _left and _is_strict(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist found."""
    _left.extend(getattr(node, "workeroutput", {}).get("left", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was left."""
    for each in _left:
        terminalreporter.write_line(f"LEFT BEHIND: {each}", red=True)


def pytest_unconfigure() -> None:
    """Remove the directory of this run."""
    while _directory:
        shutil.rmtree(_directory.pop(), ignore_errors=True)


def _is_strict(config: pytest.Config) -> bool:
    return bool(config.option.markexpr == "unit")


def _lasting(found: Callable[[], list[str]]) -> list[str]:
    """What is still found after a while."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    if found():
        gc.collect()
    while (there := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return there


def _new(descriptors: set[tuple[str, str]], threads: set[int]) -> list[str]:
    opened = _descriptors() - descriptors - _kept_descriptors
    begun = _threads() - threads - _kept_threads
    frames = sys._current_frames()
    return [
        *(f"descriptor {number} of {target}" for number, target in sorted(opened)),
        *(f"a thread in {_place_of(frames[ident])}" for ident in begun if ident in frames),
    ]


def _place_of(frame: FrameType | None) -> str:
    """The innermost functions of a thread."""
    found = []
    while frame is not None and len(found) < 5:
        found.append(f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(found)


def _descriptors() -> set[tuple[str, str]]:
    found = set()
    for number in os.listdir(_PROC / "self/fd") if _PROC.exists() else ():
        try:
            found.add((number, os.readlink(_PROC / "self/fd" / number).removesuffix(" (deleted)")))
        except OSError:
            pass  # closed meanwhile, as the one that listed them
    return found


def _threads() -> set[int]:
    return {
        ident
        for ident, frame in sys._current_frames().items()
        if not frame.f_code.co_qualname.startswith(_OF_THE_PROCESS)
    }


def _processes() -> list[str]:
    """Processes of this run but itself, and children that nobody has waited for."""
    mark = f"TMPDIR={_directory[0]}".encode()
    found = []
    for place in _PROC.glob("[0-9]*"):
        try:
            if int(place.name) == os.getpid():
                continue
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() or mark in (place / "environ").read_bytes().split(b"\0"):
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
                found.append(f"process {place.name} ({state}): {words}")
        except OSError:
            pass  # it has ended meanwhile, or is another user's
    return found
