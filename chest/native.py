"""The operating system's own threads, locks and sleep, also where gevent has put its own in their place.

The exporter must run beside gevent's hub, not on it: a SQLite that is busy for a second would stop every greenlet. And what
it waits for must be of its own kind: a greenlet's lock belongs to the hub of one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, cast


class Lock(Protocol):
    """What is used of ``_thread.LockType``."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *error: object) -> None: ...


def _original(module: str, name: str) -> Any:
    """The function as Python made it; gevent and eventlet keep it when they patch."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original(module, name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None:
        return getattr(eventlet.original(module), name)
    return getattr(__import__(module), name)


def new_lock() -> Lock:
    """An unlocked lock of the operating system."""
    return cast(Lock, _original("_thread", "allocate_lock")())


def start_thread(run: Callable[[], None]) -> None:
    """Start a thread that the interpreter does not wait for at its exit. Raises RuntimeError when none can be started."""
    _original("_thread", "start_new_thread")(run, ())


def sleep(seconds: float) -> None:
    """Sleep in this operating system thread."""
    _original("time", "sleep")(seconds)
