"""The hubs that gevent makes in the threads that Chest starts, for their sockets: how one begins, and how it ends.

Only imported into programs that gevent has patched.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from gevent import config
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub
from gevent.monkey import get_original

_HUB_END_SECONDS: Final = 1.0
"""How long a hub waits for the greenlets that a driver left: MongoDB's look every half second whether their client was closed, and the
driver waits for each at the exit of the process."""
_EXIT_SECONDS: Final = 0.25
"""How long the exit of the process waits for threads that are inside a chest, and again until they stand still."""

_sleep = get_original("time", "sleep")
_new_lock = get_original("_thread", "allocate_lock")
_thread_number = get_original("_thread", "get_ident")

_running: Final[set[tuple[int, int]]] = set()
"""The threads that may have a hub: process and thread."""
_ending: Final[set[tuple[int, int]]] = set()
"""Those among them that have done their work."""


def load_what_a_hub_imports() -> None:
    """Load the modules that gevent imports when it makes the first hub of the process, before there is another thread.

    If two threads make their first hub at the same time, both import these. The one that has to wait for the lock of the
    import waits as gevent does, with a hub, and makes one inside the making of its hub, for ever. gevent keeps a setting
    that was asked for once.
    """
    with suppress(ImportError, OSError):  # no descriptors: then no hub can be made either
        _ = config.loop, config.format_context


def ending_its_hub(run: Callable[[], None]) -> Callable[[], None]:
    """What gevent made for the sockets of a thread outlives it, unless it is ended: the hub, with threads of its own."""

    def run_and_end() -> None:
        thread = os.getpid(), _thread_number()
        _running.add(thread)
        try:
            run()
            _ending.add(thread)
            _end_hub()
        finally:
            _running.discard(thread)
            _ending.discard(thread)

    return run_and_end


def _end_hub() -> None:
    """End the hub of this thread. A driver's own threads are greenlets of it, and get a moment to notice that their client was closed.

    None is made for it: without descriptors libev would abort the process.
    """
    hub = get_hub_if_exists()
    if hub is not None:
        hub.join(_HUB_END_SECONDS)
        hub.destroy(destroy_loop=True)


def end_hubs_at_exit() -> None:
    """Wait until the threads have ended, and have those stand still that have not; for the end of the exit handlers.

    An interpreter that ends lets a thread come back to Python no more: it unwinds the thread's stack (until Python 3.14), and
    greenlet's own frames do not survive that: the process ends by SIGSEGV.
    """
    _wait_until(lambda: _running_here() <= _ending, _EXIT_SECONDS)
    _wait_until(lambda: not _running_here() & _ending, _HUB_END_SECONDS + _EXIT_SECONDS)
    still_running = _running_here()
    if still_running:  # one that is inside a chest
        hubs = [each for each in gc.get_objects() if isinstance(each, Hub)]
        standing: list[None] = []
        found = [hub for hub in hubs if (os.getpid(), hub.thread_ident) in still_running]
        for hub in found:
            hub.loop.run_callback_threadsafe(_stand_still, standing)
        _wait_until(lambda: len(standing) == len(found), _EXIT_SECONDS)


def _running_here() -> set[tuple[int, int]]:
    return {thread for thread in tuple(_running) if thread[0] == os.getpid()}


def _stand_still(standing: list[Any]) -> None:
    """Wait for a lock that is never given back: the thread does not come back to Python."""
    lock = _new_lock()
    lock.acquire()
    standing.append(None)
    lock.acquire()


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        _sleep(0.001)
