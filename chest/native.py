"""The operating system's own threads, locks and sleep, also where gevent has put its own in their place.

The exporter must run beside gevent's hub, not on it: a SQLite that is busy for a second would stop every greenlet. And what
it waits for must be of its own kind: a greenlet's lock belongs to the hub of one thread.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

_HUB_END_SECONDS: Final = 1.0


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


def new_reentrant_lock() -> Any:
    """As :func:`new_lock`, one that its holder may take again."""
    return _original("_thread", "RLock")()


def start_thread(run: Callable[[], None]) -> None:
    """Start a thread that the interpreter does not wait for at its exit. Raises RuntimeError when none can be started."""
    _original("_thread", "start_new_thread")(_without_hub_at_end(run) if "gevent.monkey" in sys.modules else run, ())


def _without_hub_at_end(run: Callable[[], None]) -> Callable[[], None]:
    """What gevent made for the sockets of a thread outlives it: its hub, with threads of its own, and what still waits on it.

    A driver's own threads are greenlets there, and get a moment to notice that their client was closed.
    """

    def run_and_end() -> None:
        try:
            run()
        finally:
            hub = sys.modules["gevent"].get_hub()
            hub.join(_HUB_END_SECONDS)
            hub.destroy(destroy_loop=True)

    return run_and_end


def socket_home() -> tuple[int, int]:
    """Where sockets that are made here may be used: in this process, and under gevent or eventlet in this one thread.

    Theirs belong to the hub of the thread that made them: another thread that waits for one fails ("cannot switch to a
    different thread"). Whoever keeps connections keeps them under this key.
    """
    is_patched = "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules
    return os.getpid(), _original("_thread", "get_ident")() if is_patched else 0


def sleep(seconds: float) -> None:
    """Sleep in this operating system thread."""
    _original("time", "sleep")(seconds)


def is_readable(descriptor: int) -> bool:
    """Whether reading from a socket would not wait: something came, or the other end is gone. Does not wait itself."""
    poll = _original("select", "poll")()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
