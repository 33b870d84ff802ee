"""``BoundedConnection``: psycopg's connection, with an end to each wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy.engine import Connection

__all__ = ["BoundedConnection", "waiting_long"]

_LONGEST_SECONDS: Final = 86_400.0
"""For what takes as long as a table is large."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer for a bounded time: the driver alone would wait for ever.

    It is closed at the first answer that does not come. Nothing else can be asked on it, not even to roll back; SQLAlchemy
    would try to, and log what comes of it.
    """

    answer_seconds: float = 10.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        seconds = self.answer_seconds if timeout is None else timeout
        began = time.monotonic()
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if error.sqlstate:
                raise  # that is an answer
            self.close()
            if time.monotonic() - began < seconds:
                raise
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error


@contextmanager
def waiting_long(connection: Connection) -> Iterator[None]:
    """In the block, answers of this connection are waited for as long as work on a whole table takes."""
    driver: Any = connection.connection.driver_connection
    before, driver.answer_seconds = driver.answer_seconds, _LONGEST_SECONDS
    try:
        yield
    finally:
        driver.answer_seconds = before
