"""``instrument_sqlalchemy``: how many statements a request has sent, and how long they took."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Engine

from chest.request.closed_contexts import current
from chest.request.context import add_elapsed

DB: Final = "db"
_BEGUN: Final = "chest.begun_ns"


def instrument_sqlalchemy(engine: Engine | type[Engine]) -> None:
    """Have each statement of this engine add to ``db_count`` and ``db_ms`` of the request that sends it.

    The time is the driver's, until it has executed the statement; to fetch the rows is not in it. Told twice, it counts once.

    :param engine: an engine, ``engine.sync_engine`` of an asynchronous one, or the class :class:`~sqlalchemy.engine.Engine` for all.
    """
    for name, listener in (
        ("before_cursor_execute", _begin),
        ("after_cursor_execute", _end),
        ("handle_error", _failed),
    ):
        if not event.contains(engine, name, listener):
            event.listen(engine, name, listener)


def _begin(connection: Any, *_: Any) -> None:
    connection.info.setdefault(_BEGUN, []).append(time.perf_counter_ns())


def _end(connection: Any, *_: Any) -> None:
    begun = connection.info.get(_BEGUN)
    if begun:
        add_elapsed(current(), DB, time.perf_counter_ns() - begun.pop())
        current().increment(f"{DB}_count")


def _failed(failure: Any) -> None:
    if failure.connection is not None and failure.statement is not None:
        _end(failure.connection)
