"""Hooks by which the interpreter and the server tell a process that it ends, or is about to fork."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

_UWSGI_WITH_THREADS: Final = (2, 0, 27)

_exit_hooks: list[Callable[[], None]] = []
_quick_exit_hooks: list[Callable[[], None]] = []


def is_forked_by_multiprocessing() -> bool:
    """True if this process is a child of ``multiprocessing``, which ends forked children by ``os._exit``."""
    processes: Any = sys.modules.get("multiprocessing.process")
    return processes is not None and processes.parent_process() is not None


def call_before_quick_exit(close: Callable[[], None]) -> None:
    """Have this called when this process, or one forked from it, calls ``os._exit``; the same function is registered once.

    For a forked child: it is ended by that, so that the exit handlers of its parent do not run in it, and has no others.
    ``close`` must not wait for long, and must know its own process: a child of the child has this too.
    """
    if close in _quick_exit_hooks:
        return
    _quick_exit_hooks.append(close)
    if len(_quick_exit_hooks) == 1:
        os._exit = _closing(os._exit)  # type: ignore[assignment]


def _closing(exit_process: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
    @functools.wraps(exit_process)
    def _exit(status: int) -> NoReturn:
        try:
            for close in _quick_exit_hooks:
                close()
        finally:
            exit_process(status)

    return _exit


def call_at_exit(close: Callable[[], None]) -> None:
    """Have this called when the interpreter, or uWSGI, ends this process; the same function is registered once."""
    if close in _exit_hooks:
        return
    _exit_hooks.append(close)
    atexit.register(close)
    _chain_uwsgi_atexit(close)


def effective_user() -> int:
    """The user that owns this process's files; 0 on systems without users."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def boot_id() -> str:
    """Of the run of the machine that this process is in; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_under_test() -> bool:
    """True if a test runner runs this process, or started what runs it.

    pytest says so to all that it runs or starts: ``PYTEST_VERSION`` since its release 8.2, ``PYTEST_CURRENT_TEST`` in each test before.
    Django's ``setup_test_environment`` sets up an outbox for mails, which each of its runners calls.
    """
    if "PYTEST_VERSION" in os.environ or "PYTEST_CURRENT_TEST" in os.environ:
        return True
    return hasattr(sys.modules.get("django.core.mail"), "outbox")


def is_uwsgi_before_its_fork() -> bool:
    """True if this is the process that uWSGI loads the application in and then forks, without Python's hooks.

    A store that is being written at that moment would be of no use to the workers: see ``chest/system/fork_safe_connection.py``.
    Workers have a number, and so has the only process without a master.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and not (uwsgi.worker_id() or uwsgi.mule_id() or uwsgi.i_am_the_spooler())
    except AttributeError:  # some other module of that name
        return False


def lack_of_threads() -> str | None:
    """A warning if uWSGI lets Python's threads run only during a request; None if they run by themselves.

    Before its release 2.0.27 it hands the interpreter's lock to no thread between two requests, unless ``--enable-threads`` or
    ``--threads`` asked for it. Since then it always does, and ``--enable-threads`` means nothing.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        release, options = tuple(uwsgi.version_info[:3]), uwsgi.opt
    except (AttributeError, TypeError):  # not under uWSGI, or some other module of that name
        return None
    if release >= _UWSGI_WITH_THREADS or any(_is_set(options.get(name)) for name in ("enable-threads", "threads")):
        return None
    return (
        f"uWSGI {'.'.join(map(str, release))} runs threads only while it serves a request, so records reach their chests "
        "late. Start it with --enable-threads, or set CHEST_DELIVERY=external and run `chest drain` beside it."
    )


def _is_set(value: object) -> bool:
    """True if an option of uWSGI is on: True from the command line, bytes from a file."""
    return bool(value) and value not in (b"false", b"off", b"no", b"0")


def _chain_uwsgi_atexit(close: Callable[[], None]) -> None:
    """uWSGI calls one function at exit, ``uwsgi.atexit``: ours first, then whichever stood there."""
    try:
        import uwsgi
    except ImportError:
        return
    previous = getattr(uwsgi, "atexit", None)

    def chained() -> None:
        close()
        if callable(previous):
            previous()

    uwsgi.atexit = chained
