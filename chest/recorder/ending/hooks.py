"""What the end of a process does to its recorders: at the interpreter's exit, at ``os._exit`` in a child, and at SIGTERM."""

from __future__ import annotations

import time
import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from chest.recorder.ending.process_end import end_began_at, wait_for_left_rings
from chest.recorder.ending.termination import LastRing, release_at_exit
from chest.system.file_lock import held_directory
from chest.system.fork_guard import check_fork
from chest.system.process_hooks import call_at_exit, call_before_quick_exit
from chest.system.threads import end_threads_at_exit

if TYPE_CHECKING:
    from chest.recorder.lifecycle import Lifecycle

_HELD_UP_SECONDS: Final = 0.7
"""How long an exit waits before it looks whether one recorder's store keeps the thread of the others."""
_LOOK_EVERY_SECONDS: Final = 0.002
_LAST_ROUND_SECONDS: Final = 0.3
QUICK_EXIT_SECONDS: float = 1.0
"""How long a forked child that ends by ``os._exit`` delivers at most: its response was sent, and a server that forks a child
for each request serves no other in its place meanwhile. What is left then is adopted.

One child at a time has ``shutdown_seconds``, as any process. Else none would ever deliver on a machine so busy that opening the
store takes longer."""

_lifecycles: Final[weakref.WeakSet[Lifecycle]] = weakref.WeakSet()


def register(lifecycle: Lifecycle) -> None:
    """Have it closed when this process, or one forked from it, ends."""
    _lifecycles.add(lifecycle)
    # Called in the reverse order.
    call_at_exit(end_threads_at_exit)
    call_at_exit(release_at_exit)
    call_at_exit(_close_at_exit)


def close_before_quick_exit() -> None:
    """Have ``os._exit`` close the recorders of this process, which was forked: its exit handlers do not run."""
    call_before_quick_exit(_close_quickly)


def flush_at_exit() -> bool:
    """Flush every recorder of this process, which is about to end; True when everything is in every chest.

    All within the time that the end of the process has, ``shutdown_seconds`` from now, of which the exit handlers have the
    rest. A store that fails is tried once, and what it does not take is kept as at any end.
    """
    check_fork()
    began_at = end_began_at()
    # All at the same time: no recorder is to have only the time that others have left. Those that are yet to be made ready last.
    in_order = sorted(_lifecycles, key=lambda each: not each.is_ready)
    asked = {each: each.ask_for_flush(is_exit=True) for each in in_order}
    are_flushed = [
        each.flush(began_at + each.parts.settings.shutdown_seconds, is_exit=True, asked=flush)
        for each, flush in asked.items()
    ]
    return all(are_flushed)


def flush_recorders(seconds: float) -> bool:
    """Wait until every recorder of this process has delivered what was offered so far, also one that is gone already.

    :param seconds: at most so long; False if that was too short.
    """
    check_fork()
    began_at = time.monotonic()
    asked = {each: each.ask_for_flush() for each in list(_lifecycles) if each.has_something}
    are_flushed = [each.flush(began_at + seconds, asked=flush) for each, flush in asked.items()]
    wait_for_left_rings(began_at, seconds)
    return all(are_flushed)


def _close_at_exit(most_seconds: float = float("inf"), *, ends_quickly: bool = False) -> None:
    """Close every recorder of this process, all at the same time, and wait for those that were left without being closed."""
    began_at = end_began_at()
    deadlines = {
        each: began_at + min(most_seconds, each.parts.settings.shutdown_seconds)
        for each in list(_lifecycles)
        if each.has_something
    }
    for each, deadline in deadlines.items():
        each.begin_to_close(deadline, ends_quickly=ends_quickly)
    if len(deadlines) > 1:
        _deliver_what_is_held_up(deadlines)
    for each, deadline in deadlines.items():
        each.close(deadline, is_exit=True, ends_quickly=ends_quickly)
    wait_for_left_rings(began_at, most_seconds)


def _close_quickly() -> None:
    """A forked child that ends by ``os._exit``, as servers do that fork a child for each request, delivers what it has."""
    files = [each.state.file for each in list(_lifecycles) if each.state is not None]
    directory = next((file.directory for file in files if file is not None), None)
    with nullcontext(False) if directory is None else held_directory(directory) as is_first:
        _close_at_exit(float("inf") if is_first else QUICK_EXIT_SECONDS, ends_quickly=True)


def deliver_at_termination() -> list[LastRing]:
    """Deliver as at any end, while requests are served and recorded: what comes last waits in its ring for the next start.

    An exit closes the rings first. Here the server goes on until the process dies, and would answer what is not recorded.
    """
    began_at = end_began_at()
    ending = [each for each in list(_lifecycles) if each.state is not None and each.state.delivery is not None]
    for each in ending:
        each.parts.request_side.end_websockets()
    most_seconds = float("inf")
    if flush_at_exit():
        most_seconds = time.monotonic() - began_at + _LAST_ROUND_SECONDS  # there is always more under load
    deadlines = {each: began_at + min(most_seconds, each.parts.settings.shutdown_seconds) for each in ending}
    for each, deadline in deadlines.items():
        each.parts.scheduled_transfers.stop()
        if each.state is not None and each.state.delivery is not None:
            each.state.delivery.begin_to_stop(deadline)
    last = [each.finish_before_termination(deadline) for each, deadline in deadlines.items()]
    wait_for_left_rings(began_at, most_seconds)
    for each in ending:
        each.parts.scheduled_transfers.wait(began_at + each.parts.settings.shutdown_seconds)
    return [ring for ring in last if ring is not None]


def _deliver_what_is_held_up(deadlines: dict[Lifecycle, float]) -> None:
    """At the exit of the interpreter no thread can be started, and a slow chest may keep the one that is there."""
    held_up_at = time.monotonic() + _HELD_UP_SECONDS
    states = [(each.state, deadline) for each, deadline in deadlines.items() if each.state is not None]
    deliveries = [state.delivery for state, _ in states if state.delivery is not None]
    while time.monotonic() < held_up_at and any(each.is_running for each in deliveries):
        time.sleep(_LOOK_EVERY_SECONDS)
    for state, deadline in states:
        if state.delivery is not None and state.file is not None:
            state.delivery.finish_if_held_up(deadline)
