"""What processes that do not answer are doing: the stacks of their threads, what the kernel knows of them, and their connections."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_SIGNAL: Final = signal.SIGRTMIN + 9
"""No server uses it."""
_WRITING_SECONDS: Final = 1.0
_DEBUGGER_SECONDS: Final = 30.0


def tell_stacks_when_asked() -> None:
    """Have this process, and its children, write the stacks of all threads to its log when :func:`testify` asks."""
    faulthandler.register(_SIGNAL)


def testify(processes: Iterable[int]) -> str:
    """What these processes are at; the stacks of Python stand in their logs a moment later."""
    found = list(processes)
    for pid in found:
        with suppress(OSError):
            if _catches(pid):
                os.kill(pid, _SIGNAL)
    time.sleep(_WRITING_SECONDS)
    return "\n".join(line for pid in found for line in _known_of(pid))


def _catches(pid: int) -> bool:
    """Whether the signal would not end it: a process may not have loaded the application."""
    caught = next(line for line in _read(f"/proc/{pid}/status").splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (_SIGNAL - 1))


def _known_of(pid: int) -> Iterator[str]:
    kept = ("Name:", "State:", "PPid:", "Threads:", "SigBlk:", "SigCgt:", "SigPnd:", "ShdPnd:")
    status = [line.replace("\t", " ") for line in _read(f"/proc/{pid}/status").splitlines() if line.startswith(kept)]
    yield f"--- process {pid}: {', '.join(status) or 'is gone'}"
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        where = " < ".join(line.split()[-1] for line in _read(task / "stack").splitlines())
        yield f"thread {task.name}: {_read(task / 'wchan')}, call {_read(task / 'syscall').strip()}, {where}"
    yield from _open_in(pid)
    yield from _native_stacks(pid)


def _open_in(pid: int) -> Iterator[str]:
    """What it has open, each connection with its ends, its state and its queues as ``/proc/net/tcp`` writes them."""
    connections = {line.split()[9]: line.split()[1:5] for line in _read(f"/proc/{pid}/net/tcp").splitlines()[1:]}
    with suppress(OSError):
        for descriptor in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
            with suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                yield f"descriptor {descriptor}: {target} {' '.join(connections.get(target[8:-1], []))}"


def _native_stacks(pid: int) -> Iterator[str]:
    debugger = shutil.which("gdb")
    if debugger is not None:
        command = [debugger, "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all bt 12"]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_DEBUGGER_SECONDS, check=False
            )
            yield from (line for line in done.stdout.splitlines() if line.startswith(("#", "Thread ")))


def _read(path: str | Path) -> str:
    """The text of a file of ``/proc``; empty if the process is gone or this user may not see it."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
