"""A client of a WSGI application, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

from chest.record.record import Record
from chest.request.closed_contexts import current
from chest.request.middleware import RequestMiddleware
from chest.request.selection import Selection
from chest.ring.line import decode_lines
from tests.support import ReadyProcess


class Client:
    """Calls an application as a server does, and keeps the records."""

    def __init__(self, app: Callable[..., Any], **options: Any) -> None:
        self.records: list[Record] = []
        self.process = ReadyProcess()
        selection = {name: options.pop(name) for name in tuple(options) if name in SELECTION_OPTIONS}
        offer = options.pop("offer", self._keep)
        self.app = RequestMiddleware(app, offer, Selection(**selection), self.process, **options)
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def _keep(self, line: bytes) -> None:
        self.records += decode_lines(line, self.process.resource)

    def start_response(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], None]:
        self.status, self.headers, self.exc_info = status, headers, exc_info
        return self.written.append

    def open(self, path: str = "/", **environ: Any) -> Iterable[bytes]:
        full: dict[str, Any] = {"PATH_INFO": path, **environ}
        setup_testing_defaults(full)
        self.environ = full
        return self.app(full, self.start_response)

    def get(self, path: str = "/", **environ: Any) -> bytes:
        body = self.open(path, **environ)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()

    @property
    def record(self) -> Record:
        [record] = self.records
        return record


SELECTION_OPTIONS = {
    "tracked_vars",
    "exclude_paths",
    "redaction",
    "sample",
    "keep_slower_ms",
    "before_record",
    "keeps_messages",
    "keeps_stacktraces",
    "user_ids",
}


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    environ["chest.context"]["user_id"] = "123"
    return [b"hello"]


def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"
    current()["late"] = True
    yield b""
    yield b"bc"
