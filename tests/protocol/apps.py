"""The applications that the servers of these tests serve: one path for each thing that PEP 3333 lets an application do.

The header ``X-App`` says which application answers: ``bare`` is ``routes`` itself, ``recorded`` the same in the middleware,
so that one server gives both answers and they can be compared. What an application notices, such as a ``close()``, it
appends to the file ``notes`` in the server's directory, with the id of the request.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chest import ChestMiddleware, current

FILE_BYTES = 300_000
"""Larger than what a socket's buffer takes at once."""

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Route = Callable[[Environ, StartResponse], Iterable[bytes]]

_paths: dict[str, Route] = {}


def _at(path: str) -> Callable[[Route], Route]:
    def register(route: Route) -> Route:
        _paths[path] = route
        return route

    return register


def routes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The bare application."""
    current()["seen"] = "by the app"
    return _paths.get(environ.get("PATH_INFO", ""), _echo)(environ, start_response)


def note(environ: Environ, event: str) -> None:
    """One line, in one write, into the file ``notes``."""
    descriptor = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{environ.get('HTTP_X_REQUEST_ID', '-')} {event}\n".encode())
    os.close(descriptor)


class Chunks:
    """A body that notes its ``close()``, and whether a second iterator is asked for."""

    def __init__(self, environ: Environ, chunks: Iterable[bytes]) -> None:
        self._environ = {"HTTP_X_REQUEST_ID": environ.get("HTTP_X_REQUEST_ID", "-")}
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        note(self._environ, "closed")


class SizedChunks(Chunks):
    """The same, of a known length."""

    def __init__(self, environ: Environ, chunks: list[bytes]) -> None:
        super().__init__(environ, chunks)
        self._length = len(chunks)

    def __len__(self) -> int:
        return self._length


def plain(*more: tuple[str, str]) -> list[tuple[str, str]]:
    """Headers, in a list of their own: a server may add to it, and wsgiref does."""
    return [("Content-Type", "text/plain"), *more]


# -- bodies --------------------------------------------------------------------------------------------------------------


@_at("/complete")
def _complete(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())
    return [b"complete"]


@_at("/complete-in-pieces")
def _complete_in_pieces(environ: Environ, start_response: StartResponse) -> tuple[bytes, ...]:
    start_response("200 OK", plain())
    return b"in ", b"", b"pieces"


@_at("/empty")
def _empty(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())
    return []


@_at("/streamed")
def _streamed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain())
    return Chunks(environ, (chunk for chunk in (b"one ", b"", b"two ", b"three")))


@_at("/streamed-with-length")
def _streamed_with_length(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain(("Content-Length", "7")))
    return Chunks(environ, (chunk for chunk in (b"one ", b"two")))


@_at("/sized")
def _sized(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain())
    return SizedChunks(environ, [b"of a known length"])


@_at("/sized-in-pieces")
def _sized_in_pieces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain())
    return SizedChunks(environ, [b"of a ", b"known length"])


@_at("/lazy")
def _lazy(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("202 Accepted", plain())
    yield b"started with the first chunk"


@_at("/written")
def _written(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", plain())
    write(b"written, ")
    write(b"")
    write(b"and ")
    return [b"returned"]


@_at("/written-and-streamed")
def _written_and_streamed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain())(b"written, ")
    return Chunks(environ, iter([b"and ", b"streamed"]))


@_at("/no-content")
def _no_content(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return Chunks(environ, iter(()))


@_at("/not-modified")
def _not_modified(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"1"')])
    return Chunks(environ, iter(()))


@_at("/endless")
def _endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    start_response("200 OK", plain())
    return Chunks(environ, chunks())


# -- files ---------------------------------------------------------------------------------------------------------------


@_at("/file")
def _file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = Path("content")
    if not path.exists():
        path.write_bytes(bytes(range(256)) * (FILE_BYTES // 256) + b"x" * (FILE_BYTES % 256))
    start_response("200 OK", plain(("Content-Length", str(FILE_BYTES))))
    body: Iterable[bytes] = environ.get("wsgi.file_wrapper", FileWrapper)(path.open("rb"), 65536)
    return body


@_at("/file-in-memory")
def _file_in_memory(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", plain(("Content-Length", "13")))
    body: Iterable[bytes] = environ.get("wsgi.file_wrapper", FileWrapper)(io.BytesIO(b"no descriptor"))
    return body


@_at("/file-that-notes")
def _file_that_notes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Content(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                note({"HTTP_X_REQUEST_ID": request_id}, "closed")
            super().close()

    request_id = environ.get("HTTP_X_REQUEST_ID", "-")
    start_response("200 OK", plain(("Content-Length", "5")))
    body: Iterable[bytes] = environ.get("wsgi.file_wrapper", FileWrapper)(Content(b"noted"))
    return body


@_at("/opened")
def _opened(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _file(environ, lambda *_: lambda _: None)
    start_response("200 OK", plain())
    return Path("content").open("rb")


# -- start_response, and what goes wrong -----------------------------------------------------------------------------------


@_at("/replaced")
def _replaced(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())
    try:
        raise ValueError("found out in time")
    except ValueError:
        start_response("503 Service Unavailable", plain(), sys.exc_info())
    return [b"an error page"]


@_at("/replaced-too-late")
def _replaced_too_late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", plain())
    yield b"sent already"
    try:
        raise ValueError("found out too late")
    except ValueError:
        start_response("503 Service Unavailable", plain(), sys.exc_info())
    yield b"never sent"


@_at("/started-twice")
def _started_twice(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())
    start_response("201 Created", plain())
    return [b"not allowed"]


@_at("/never-started")
def _never_started(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return [b"not allowed"]


@_at("/raises")
def _raises(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise LookupError("before start_response")


@_at("/raises-once-started")
def _raises_once_started(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())
    raise LookupError("after start_response")


@_at("/raises-once-written")
def _raises_once_written(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", plain())(b"written")
    raise LookupError("after write()")


@_at("/raises-at-first-chunk")
def _raises_at_first_chunk(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", plain())
    raise LookupError("before the first chunk")
    yield b""


@_at("/raises-in-the-middle")
def _raises_in_the_middle(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        yield b"the first half"
        raise LookupError("in the middle")

    start_response("200 OK", plain())
    return Chunks(environ, chunks())


@_at("/raises-at-close")
def _raises_at_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Body(Chunks):
        def close(self) -> None:
            super().close()
            raise LookupError("at close()")

    start_response("200 OK", plain(("Content-Length", "5")))
    return Body(environ, iter([b"whole"]))


# -- bodies that a server refuses, or does not send ------------------------------------------------------------------------


@_at("/text-chunk")
def _text_chunk(environ: Environ, start_response: StartResponse) -> Iterable[Any]:
    start_response("200 OK", plain())
    return Chunks(environ, iter(["text", "more"]))  # type: ignore[list-item]


@_at("/number-chunk")
def _number_chunk(environ: Environ, start_response: StartResponse) -> Iterable[Any]:
    start_response("200 OK", plain())
    return Chunks(environ, iter([7, 8]))  # type: ignore[list-item]


@_at("/no-content-with-a-body")
def _no_content_with_a_body(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return Chunks(environ, (b"%d" % number for number in range(3)))


@_at("/not-modified-with-a-body")
def _not_modified_with_a_body(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"1"')])
    return Chunks(environ, (b"%d" % number for number in range(3)))


# -- ways out of WSGI ------------------------------------------------------------------------------------------------------


@_at("/upgrade")
def _upgrade(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What websocket libraries do: answer on the socket itself, and leave by the way that the server understands."""
    socket = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
    socket.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
    if "gunicorn.socket" in environ:
        raise StopIteration
    raise ConnectionError


@_at("/exits")
def _exits(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise SystemExit(3)


@_at("/waits")
def _waits(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A request that lasts until its process ends."""
    note(environ, "waiting")
    while True:
        time.sleep(0.01)


@_at("/kills-its-process")
def _kills_its_process(environ: Environ, start_response: StartResponse) -> list[bytes]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


# -- what the application is told --------------------------------------------------------------------------------------------


def _echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """What of the request depends on the server's reading of it, and the body that was sent."""
    names = (
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "CONTENT_TYPE",
        "HTTP_HOST",
        "SERVER_PROTOCOL",
    )
    length = int(environ.get("CONTENT_LENGTH") or 0)
    sent = environ["wsgi.input"].read(length) if length else b""
    start_response("200 OK", plain())
    return [repr({name: environ.get(name) for name in names}).encode(), b"\n", sent]


recorded = ChestMiddleware(routes)
nested = ChestMiddleware(
    DispatcherMiddleware(routes, {"/shop": ChestMiddleware(routes, recorder=recorded.recorder)}),
    recorder=recorded.recorder,
)
beside = DispatcherMiddleware(
    ChestMiddleware(routes, recorder=recorded.recorder),
    {"/shop": ChestMiddleware(routes, recorder=recorded.recorder)},
)
_apps = {"bare": routes, "recorded": recorded, "nested": nested, "beside": beside}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What the servers are given."""
    return _apps[environ.get("HTTP_X_APP", "recorded")](environ, start_response)
