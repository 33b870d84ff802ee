"""``record_events``: each event of a Flask-SocketIO object is work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from flask import request

from chest import context_of

if TYPE_CHECKING:
    from flask_chest.extension import FlaskRecorder

_F = TypeVar("_F", bound=Callable[..., Any])


def record_events(socketio: Any, recorder: FlaskRecorder) -> None:
    """See :meth:`flask_chest.FlaskRecorder.record_events`."""
    on, on_namespace = socketio.on, socketio.on_namespace

    def recorded(handler: _F, message: str, namespace: str) -> _F:
        signature = inspect.signature(handler)
        name = message if namespace == "/" else f"{namespace} {message}"

        @wraps(handler)
        def handle(*args: Any) -> Any:
            signature.bind(*args)  # Flask-SocketIO tries with an argument first, and without after a TypeError
            asked_by = context_of(request.environ).request_id or None
            with recorder.work(name, request_id=asked_by, kind="event"):
                return handler(*args)

        return handle  # type: ignore[return-value]

    def recorded_on(message: str, namespace: str | None = None) -> Callable[[_F], _F]:
        register = on(message, namespace=namespace)

        def decorate(handler: _F) -> _F:
            register(recorded(handler, message, namespace or "/"))
            return handler

        return decorate

    def recorded_on_namespace(handlers: Any) -> Any:
        for name, handler in inspect.getmembers(handlers, inspect.ismethod):
            if name.startswith("on_"):
                setattr(handlers, name, recorded(handler, name.removeprefix("on_"), handlers.namespace or "/"))
        return on_namespace(handlers)

    socketio.on, socketio.on_namespace = recorded_on, recorded_on_namespace
