"""The shapes that requests have: how the application answers, what it records, and what comes in."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from wsgiref.util import FileWrapper

from benchmarks.rig.application import App, app, streamed_app
from chest import current

_CHUNK: Final = b"hello"
_TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_MOMENT: Final = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
_PRICE: Final = Decimal("12.50")
_ORDER: Final = uuid.UUID("0af76519-16cd-43dd-8448-eb211c80319c")


class Shape(NamedTuple):
    """One row: an application, the options of its middleware, and what its requests bring."""

    app: App
    options: dict[str, Any] = {}
    environ: dict[str, Any] = {}
    figure: float = 0.4
    """What was measured on a busy machine of two cores, as a share of what prometheus_client adds by position."""
    at_most: float = 0.6
    """The same, as it is promised."""


class Response:
    """A response as Django's, WebOb's and Werkzeug's are: an iterable with ``close()``."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """As an application's."""


class Chunks:
    """The least that can be iterated."""

    def __getitem__(self, place: int) -> bytes:
        if place:
            raise IndexError
        return _CHUNK


def answering(body: Callable[[list[bytes]], Any]) -> App:
    """The usual application, with another body."""

    def answered(environ: dict[str, Any], start_response: Any) -> Any:
        return body(app(environ, start_response))

    return answered


def recording(record: Callable[[Any], object]) -> App:
    """An application that records this, once for each of its requests."""

    def recorded(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        context = environ.get("chest.context")
        if context is not None:
            record(context)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [_CHUNK]

    return recorded


def setting(**variables: Any) -> App:
    """An application that records five variables, these among them."""
    usual = {"user_id": "123", "plan": "premium", "cart_items": 5, "is_beta": True, "render_ms": 1.25}
    names = [*usual][: 5 - len(variables)]
    told = {name: usual[name] for name in names} | variables

    def record(context: Any) -> None:
        for name, value in told.items():
            context[name] = value

    return recording(record)


def _writes(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    app(environ, lambda status, headers: start_response(status, headers)(_CHUNK))
    return []


def _sends_a_file(environ: dict[str, Any], start_response: Any) -> Any:
    app(environ, start_response)
    return environ["wsgi.file_wrapper"](io.BytesIO(_CHUNK))


def _measures(context: Any) -> None:
    with current().timer("render"):
        current()["user_id"] = "123"
    current().increment("db_queries")


def _names_its_route(context: Any) -> None:
    context["user_id"], context["plan"] = "123", "premium"
    context.route = "/items/<int:id>"


_FAILURE: Final = LookupError("no such item")

SHAPES: Final[dict[str, Shape]] = {
    "list": Shape(app, at_most=0.4),
    "tuple": Shape(answering(tuple), at_most=0.4),
    "several chunks": Shape(answering(lambda body: body * 5)),
    "no variables": Shape(recording(lambda context: None), figure=0.32),
    "POST": Shape(app, environ={"REQUEST_METHOD": "POST"}),
    "mounted": Shape(app, environ={"SCRIPT_NAME": "/shop"}),
    "long path": Shape(app, environ={"PATH_INFO": "/" + "items/" * 40}, figure=0.52),
    "id header": Shape(app, environ={"HTTP_X_REQUEST_ID": "order-42"}),
    "odd id header": Shape(app, environ={"HTTP_X_REQUEST_ID": "Root=1-67891233-abcdef012345678912345678"}, figure=0.47),
    "traceparent": Shape(app, environ={"HTTP_TRACEPARENT": _TRACEPARENT}, figure=0.56),
    "':' in the path": Shape(app, environ={"PATH_INFO": "/items:batch"}, figure=0.43),
    "generator": Shape(streamed_app, figure=0.47),
    "object with close()": Shape(answering(Response), figure=0.58),
    "plain iterable": Shape(answering(lambda body: Chunks()), figure=0.56),
    "iter()": Shape(answering(iter), figure=0.52),
    "map": Shape(answering(lambda body: map(bytes, body)), figure=0.56),
    "write()": Shape(_writes, figure=0.47),
    "wsgi.file_wrapper": Shape(_sends_a_file, environ={"wsgi.file_wrapper": FileWrapper}, figure=0.57),
    "current(), timer, increment": Shape(recording(_measures), figure=0.69),
    "route set": Shape(recording(_names_its_route), figure=0.46),
    "record_error": Shape(recording(lambda context: context.record_error(_FAILURE)), figure=0.96),
    "nested dict": Shape(setting(cart={"items": 3, "total": 12.5, "tags": {"a": "b"}}), figure=0.47, at_most=0.8),
    "list of values": Shape(setting(items=[1, 2, 3]), figure=0.44, at_most=0.8),
    "Decimal": Shape(setting(price=_PRICE), figure=0.49, at_most=0.8),
    "datetime": Shape(setting(at=_MOMENT), figure=0.67, at_most=0.8),
    "UUID": Shape(setting(order=_ORDER), figure=0.64, at_most=0.8),
    "text with = and /": Shape(setting(next="/items?page=2"), figure=0.46, at_most=0.8),
    "sample": Shape(app, {"sample": 0.5}, figure=0.55),
    "tracked_vars": Shape(app, {"tracked_vars": ["user_id", "plan"]}),
    "before_record": Shape(app, {"before_record": lambda record: True}, figure=0.98),
    "excluded path": Shape(app, {"exclude_paths": ["/static/*", "/healthz"]}, {"PATH_INFO": "/healthz"}, figure=0.11),
}
"""By name."""
