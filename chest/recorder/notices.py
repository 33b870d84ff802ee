"""``Notices``: warnings that are logged later, from a thread that may wait."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from chest.delivery.background import log_notices
from chest.system.threads import new_lock, start_thread

_WAIT_SECONDS: Final = 1.0


class Notices:
    """Nothing is logged in a request's time, nor after a fork: the delivery thread logs it, or a thread that is started for it."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        """Those that are not logged yet; the delivery thread takes them out."""
        self._logging = new_lock()

    def add(self, notice: str) -> None:
        """Have it logged by the next thread that may."""
        self.waiting.append(notice)

    def add_at_once(self, notice: str) -> None:
        """Have it logged by a thread of its own, as there may be no delivery."""
        self.add(notice)
        with suppress(RuntimeError):  # no thread: the delivery thread logs it when there is one
            start_thread(self.log)

    def log(self) -> None:
        """Log what waits, in this thread."""
        if self._logging.acquire(timeout=_WAIT_SECONDS):  # else another thread is logging it
            try:
                log_notices(self.waiting)
            finally:
                self._logging.release()

    def begin_in_child(self) -> None:
        """In a forked child: its parent's are its parent's, and a thread of its parent may have held the lock."""
        self.waiting.clear()
        self._logging = new_lock()
