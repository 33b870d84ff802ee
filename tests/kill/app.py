"""The application that servers run under load while they are wounded; the options of Chest come from the environment."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable

from chest import ChestMiddleware
from chest.request.wsgi import StartResponse, WSGIEnvironment


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Which process answered; ``/slow`` takes as many seconds as the query says, ``/stuck`` has no end and no Python in it."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/stuck":
        sum(itertools.repeat(0))
    environ["chest.context"]["user_id"] = "123"
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


app = ChestMiddleware(answer)

if "ASK_AT_IMPORT" in os.environ:  # as an application that warms itself up in the master, before it forks
    app({"PATH_INFO": "/", "REQUEST_METHOD": "GET", "chest.warm": True}, lambda *_: print)
