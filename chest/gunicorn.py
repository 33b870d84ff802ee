"""Hooks for a ``gunicorn.conf.py``::

from chest.gunicorn import worker_exit
"""

from __future__ import annotations

from typing import Any

from chest.recorder.ending.hooks import flush_at_exit

__all__ = ["worker_exit"]


def worker_exit(server: Any, worker: Any) -> None:
    """Deliver this worker's records before gunicorn ends it (the ``worker_exit`` server hook).

    gunicorn may end threaded workers before Python's exit handlers run. Without this hook nothing is lost: the next worker
    adopts the ring file. The recorder stays open for requests that are still being answered. The hook and the exit handlers
    share ``shutdown_seconds``.
    """
    flush_at_exit()
