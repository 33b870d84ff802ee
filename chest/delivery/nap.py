"""``Nap``: the sleep of a thread that another one may end."""

from __future__ import annotations

from chest.native import new_lock


class Nap:
    """For one thread that sleeps, and any that wake it; what wakes it while it is awake ends its next sleep at once."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._lock.acquire()

    def take(self, seconds: float | None) -> None:
        """Sleep for so long, or until woken; None: until woken."""
        self._lock.acquire(timeout=-1 if seconds is None else seconds)

    def end(self) -> None:
        """Wake it. Never waits, and may be called from a signal handler."""
        try:
            self._lock.release()
        except RuntimeError:  # it has not gone to sleep since the last time
            pass
