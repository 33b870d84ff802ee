"""Hooks for a ``gunicorn.conf.py``::

from chest.gunicorn import worker_exit
"""

from __future__ import annotations

from typing import Any

from chest.recorder import flush_all


def worker_exit(server: Any, worker: Any) -> None:
    """Deliver what this worker has recorded before gunicorn ends it (the ``worker_exit`` server hook).

    gunicorn's threaded workers may be ended before Python's own exit handlers run. Without this hook nothing is lost:
    the next worker adopts the ring file. The recorder stays open for requests that are still being answered.
    """
    flush_all()
