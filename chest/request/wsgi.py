"""WSGI types, under the names of PEP 3333; and ``WSGIAnswer``, a whole response."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
else:
    WSGIEnvironment = dict[str, Any]
    StartResponse = Callable[..., Callable[[bytes], object]]
    WSGIApplication = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]

__all__ = [
    "StartResponse",
    "WSGIAnswer",
    "WSGIApplication",
    "WSGIEnvironment",
    "json_answer",
    "put_in",
    "text_answer",
    "value_in",
]


def value_in(environ: WSGIEnvironment, key: str) -> Any:
    """The value of a key, or None; also if another key of ``environ``, with code of its own, raises when it is compared."""
    try:
        return environ.get(key)
    except Exception:  # noqa: BLE001 - the application's `__eq__`
        return None


def put_in(environ: WSGIEnvironment, key: str, value: object) -> None:
    """Set the value of a key, unless another key of ``environ`` raises when it is compared."""
    try:
        environ[key] = value
    except Exception:  # noqa: BLE001 - the application's `__eq__`
        pass


class WSGIAnswer(NamedTuple):
    """A response that is there as a whole; itself a WSGI application."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.headers.items()]
        start_response(status_line(self.status), headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [self.body]


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> WSGIAnswer:
    """A value as JSON; what JSON does not know is written as its text.

    :raises ValueError: the value holds NaN, or itself.
    """
    body = json.dumps(value, default=str, allow_nan=False).encode()
    return WSGIAnswer(status, "application/json", body, headers or {})


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> WSGIAnswer:
    """A text."""
    return WSGIAnswer(status, "text/plain; charset=utf-8", text.encode(), headers or {})


def status_line(status: int) -> str:
    """The status with its phrase, as ``start_response`` wants it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Status"
