"""The operating system's own threads, locks and sleep, even if gevent has put its own in their place.

The delivery thread must run beside gevent's hub, not on it: a SQLite that is busy for a second would stop every greenlet. And what
it waits for must be of its own kind: a greenlet's lock belongs to the hub of one thread.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

from chest.system.process_hooks import call_at_exit

if "gevent.monkey" in sys.modules:
    import chest.system.hubs  # noqa: F401 - later there may be no descriptor left to read it

_OLD_KEY: Final = "suppress_instrumentation"
"""Of instrumentations that are older than the keys with names of their own."""


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


class Claim:
    """What one of several callers takes, without a lock: only one can pop the token.

    It decides who starts a thread: the exception of a signal handler may come out of :func:`start_thread` although the
    thread runs. So the thread, or the starter that gives it up, takes the claim first.
    """

    def __init__(self) -> None:
        self._token = [None]

    def take(self) -> bool:
        """True for one caller, until :meth:`give_back`."""
        try:
            self._token.pop()
        except IndexError:
            return False
        return True

    def give_back(self) -> None:
        """Another caller may take it."""
        self._token.append(None)


def start_thread(run: Callable[[], None]) -> None:
    """Start a thread that the interpreter does not wait for at its exit. Raises RuntimeError when none can be started."""
    if "gevent.monkey" in sys.modules:
        from chest.system.hubs import ending_its_hub, load_what_a_hub_imports

        load_what_a_hub_imports()
        call_at_exit(end_threads_at_exit)  # a recorder has done so before: then it is called after the recorder's own
        run = ending_its_hub(run)
    _original("_thread", "start_new_thread")(_run_untraced, (run,))


def _run_untraced(run: Callable[[], None]) -> None:
    with untraced():
        run()


@contextmanager
def untraced() -> Iterator[None]:
    """Keep what the block does out of the application's traces, if OpenTelemetry is loaded; it is never loaded here.

    Sentry makes no span of it, and no breadcrumb of a request's: a thread that is started in here inherits no scope.
    """
    tracing: Any = sys.modules.get("opentelemetry.context")
    try:
        found = tracing.get_current()
        for key in (tracing._SUPPRESS_INSTRUMENTATION_KEY, tracing._SUPPRESS_HTTP_INSTRUMENTATION_KEY, _OLD_KEY):
            found = tracing.set_value(key, True, found)
        token = tracing.attach(found)
    except Exception:  # noqa: BLE001 - it is not loaded, or of a release that has no such names
        token = None
    try:
        yield
    finally:
        if token is not None:
            tracing.detach(token)


def end_threads_at_exit() -> None:
    """Called last when the interpreter ends: no thread may return to Python if that ends the process by a signal."""
    hubs = sys.modules.get("chest.system.hubs")
    if hubs is not None:
        hubs.end_hubs_at_exit()


def socket_home() -> tuple[int, int]:
    """Where a socket that is created here may be used: in this process, and under gevent or eventlet only in this thread.

    Theirs belong to the hub of the thread that made them: another thread that waits for one fails ("cannot switch to a
    different thread"). Code that keeps connections keeps them under this key.
    """
    is_patched = "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules
    return os.getpid(), _original("_thread", "get_ident")() if is_patched else 0


def sleep(seconds: float) -> None:
    """Sleep in this operating system thread."""
    _original("time", "sleep")(seconds)


def is_readable(descriptor: int) -> bool:
    """True if reading from a socket would not wait: something came, or the other end is gone. Does not wait itself."""
    poll = _original("select", "poll")()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class WakeEvent:
    """One thread waits, any other wakes it. A wake-up that arrives early makes the next wait return immediately."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._lock.acquire()

    def wait(self, seconds: float | None) -> None:
        """Wait for so many seconds, or until :meth:`set`; None: until :meth:`set`."""
        self._lock.acquire(timeout=-1 if seconds is None else seconds)

    def set(self) -> None:
        """Wake the thread. Never waits, and is safe in a signal handler."""
        try:
            self._lock.release()
        except RuntimeError:  # it was set already
            pass


class PeriodicThread:
    """Calls ``act`` at once and then every few seconds, until that returns False or :meth:`stop` is called.

    The thread is the operating system's.

    :param act: must not raise.
    """

    def __init__(self, act: Callable[[], bool], every_seconds: float) -> None:
        self._act = act
        self._every_seconds = every_seconds
        self._woken = WakeEvent()
        self._is_stopped = False

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system gives none."""
        start_thread(self._run)

    def stop(self) -> None:
        """Have the thread end, without waiting for it."""
        self._is_stopped = True
        self._woken.set()

    def _run(self) -> None:
        while not self._is_stopped and self._act():
            self._woken.wait(self._every_seconds)
