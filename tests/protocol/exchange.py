"""One exchange between a strict server and an application, both in this process; and the records of a middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults

from chest.record.record import Record
from chest.request.middleware import RequestMiddleware
from chest.request.selection import Selection
from chest.ring.line import decode_lines
from tests.support import ReadyProcess


def environ_of(path: str = "/", method: str = "GET", **more: Any) -> dict[str, Any]:
    """The environ of a request; a name whose value is None is left out."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
    environ |= more
    setup_testing_defaults(environ)
    return {name: value for name, value in environ.items() if value is not None}


@dataclass
class Exchange:
    """What a server that keeps to PEP 3333 came to know of one request."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    """What was sent, in the pieces in which it came."""
    error: BaseException | None = None
    answered: str | None = None
    """The class of the exception that the application answered, by ``exc_info``."""
    body: Iterable[bytes] | None = None
    """What the application returned."""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """As PEP 3333 has it: once, or again with an error while nothing has been sent."""
        if exc_info is not None:
            self.answered = exc_info[0].__name__
            try:
                if self.chunks:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status:
            raise AssertionError("start_response was called twice")
        self.status, self.headers = status, list(headers)
        return self.chunks.append

    def run(self, app: Callable[..., Any], environ: dict[str, Any]) -> Exchange:
        """Serve the request to its end, and keep an exception instead of answering it."""
        try:
            self.body = app(environ, self.start_response)
            try:
                for chunk in self.body or ():
                    self.chunks.append(chunk)
            finally:
                if hasattr(self.body, "close"):
                    self.body.close()
        except BaseException as error:
            self.error = error
        return self

    @property
    def text(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)


def serve(app: Callable[..., Any], path: str = "/", method: str = "GET", **environ: Any) -> Exchange:
    """One request to an application, to its end."""
    return Exchange().run(app, environ_of(path, method, **environ))


class Recorded(RequestMiddleware):
    """An application in the middleware, with the records in a list."""

    def __init__(self, app: Callable[..., Any], selection: Selection | None = None, **options: Any) -> None:
        self.records: list[Record] = []
        self.process = ReadyProcess()
        super().__init__(app, self._keep, selection or Selection(), self.process, **options)

    def _keep(self, line: bytes) -> None:
        self.records += decode_lines(line, self.process.resource)

    @property
    def record(self) -> Record:
        """The only one."""
        [record] = self.records
        return record
