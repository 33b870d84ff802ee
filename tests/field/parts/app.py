"""The application that is served in the field. It tells beside its answers what its recorder knows, a file a process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from chest import ChestMiddleware
from chest.request.wsgi import StartResponse, WSGIEnvironment
from tests.field.parts import impatience  # noqa: F401 - it is done by the import
from tests.field.plan import STATS
from tests.field.witness import tell_stacks_when_asked

_TELL_EVERY_SECONDS: Final = 0.1

_told_at = 0.0
_told_in = 0
tell_stacks_when_asked()


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Which process answers: ``/`` in one piece, ``/stream`` in pieces, ``/large`` with two kilobytes in the record."""
    path, context = environ["PATH_INFO"], environ["chest.context"]
    context["user_id"] = "123"
    if path == "/large":
        context["text"] = "x" * 2000
    _tell()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return _in_pieces(body) if path == "/stream" else [body]


def _in_pieces(body: bytes) -> Iterator[bytes]:
    for byte in body:
        yield bytes([byte])


def _tell() -> None:
    global _told_at, _told_in
    now = time.monotonic()
    if _told_in == os.getpid() and now < _told_at + _TELL_EVERY_SECONDS:
        return
    _told_at, _told_in = now, os.getpid()
    place = Path(os.environ[STATS]) / f"{os.getpid()}.json"
    beside = place.with_suffix(f".{time.monotonic_ns()}")
    with suppress(OSError):  # out of descriptors, which is one of the events
        beside.write_text(json.dumps(app.recorder.stats(), default=str))
        beside.replace(place)


app = ChestMiddleware(answer)
