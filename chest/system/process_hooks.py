"""What a process is told by its interpreter and its server: that it was forked, that it ends, that it will yet be forked."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any, Final

_UWSGI_WITH_THREADS: Final = (2, 0, 27)

_fork_hooks: list[Callable[[], None]] = []


def call_in_forked_children(prepare: Callable[[], None]) -> None:
    """Have this called in every child that is forked with Python's hooks; the same function is registered once.

    Not at the import: an import alone changes nothing. It must not log: a lock of logging may be held by no thread of the child.
    """
    if prepare in _fork_hooks or not hasattr(os, "register_at_fork"):
        return
    _fork_hooks.append(prepare)
    os.register_at_fork(after_in_child=prepare)


def call_at_exit(close: Callable[[], None]) -> None:
    """Have this called when the interpreter, or uWSGI, ends this process."""
    atexit.register(close)
    _chain_uwsgi_atexit(close)


def may_yet_change_user() -> bool:
    """Whether this is a worker of root's gunicorn, which by ``--user`` becomes another user after Python's fork hooks ran."""
    return effective_user() == 0 and "gunicorn.arbiter" in sys.modules


def effective_user() -> int:
    """Whose files this process makes; 0 where there are no users."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def is_uwsgi_before_its_fork() -> bool:
    """Whether this is the process that uWSGI loads the application in and then forks, without Python's hooks.

    A store that is being written at that moment would be of no use to the workers: see ``chest/held_connection.py``.
    The workers, and the only process where there is no master, have a number.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and not (uwsgi.worker_id() or uwsgi.mule_id() or uwsgi.i_am_the_spooler())
    except AttributeError:  # some other module of that name
        return False


def lack_of_threads() -> str | None:
    """What is to be said where uWSGI lets Python's threads run only while a request does; None where they run by themselves.

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
        "late. Start it with --enable-threads, or set CHEST_EXPORTER=external and run `chest drain` beside it."
    )


def _is_set(value: object) -> bool:
    """Whether an option of uWSGI is on: True from the command line, bytes from a file."""
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
