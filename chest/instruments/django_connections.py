"""``instrument_django``: how many statements a request has sent through Django's connections, and how long they took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db import connections
from django.db.backends.signals import connection_created

from chest.request.closed_contexts import current

_NAME: Final = "chest.instruments"
_WRAPPER: Final = "_chest_wrapper"


def instrument_django() -> None:
    """Have each statement of every connection add to ``db_count`` and ``db_ms`` of the request that sends it.

    Call it once a process, in ``AppConfig.ready``. Connections that this thread has already opened are also counted.
    """
    connection_created.connect(_wrap, dispatch_uid=_NAME)
    for connection in connections.all(initialized_only=True):
        _wrap(connection=connection)


def _wrap(*, connection: Any, **_: Any) -> None:
    if not hasattr(connection, _WRAPPER):
        wrapper = connection.execute_wrapper(_timed)
        wrapper.__enter__()
        setattr(connection, _WRAPPER, wrapper)  # it ends when it is forgotten: with the connection


def _timed(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    with current().timer("db"):
        return execute(sql, params, many, context)
