"""``start_in_every_process``: starts a task that belongs to no recorder, in this process and in its forked children."""

from __future__ import annotations

import logging
import os
import signal
import sys
import weakref
from typing import TYPE_CHECKING

from chest.system.process_hooks import is_uwsgi_before_its_fork

if TYPE_CHECKING:
    from chest.transfer.scheduled_task import ScheduledTask

__all__ = ["only_forks", "start_in_every_process"]

logger = logging.getLogger("chest.transfer")


def start_in_every_process(task: ScheduledTask) -> None:
    """Begin here and in every process that is forked from here, as long as the task is referenced.

    A server that loads the application before it forks has it in its workers; if it does not do a worker's work itself,
    it has no tick (see :func:`only_forks`). On PyPy and without the interpreter's lock a thread that is started while a
    process is forked may end that process. So a forked child has to call ``start()`` there, and the log says so at once: in the
    child it may not be written to, since a fork may have come while another thread wrote.
    """
    weak = weakref.ref(task)

    def begin() -> None:
        held = weak()
        if held is not None:
            held.start()

    if not _may_start_threads_in_a_fork():
        logger.warning(
            "chest: %s begins in no forked process, as this Python cannot start a thread during a fork: "
            "call its start() there, for example in gunicorn's post_worker_init",
            task.name,
        )
    elif hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin)
    if not is_uwsgi_before_its_fork():
        begin()
        return
    try:  # which runs no hook of Python's at its fork
        from uwsgidecorators import postfork
    except ImportError:
        return
    postfork(begin)


def _may_start_threads_in_a_fork() -> bool:
    has_lock: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return has_lock and sys.implementation.name != "pypy"


def only_forks() -> bool:
    """True if this is a server's master, which must not use a store while it forks."""
    return is_uwsgi_before_its_fork() or _is_gunicorns_master()


def _is_gunicorns_master() -> bool:
    """gunicorn's workers take the master's signal handlers out."""
    if "gunicorn.arbiter" not in sys.modules:
        return False
    handler = signal.getsignal(signal.SIGCHLD)
    return type(getattr(handler, "__self__", None)).__name__ == "Arbiter"
