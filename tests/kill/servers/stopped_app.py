"""One application as each kind of server wants it, for what becomes of the last records at a SIGTERM."""

from __future__ import annotations

import os
import signal
import sys

# The lines of docs/deployment.md.
if "EXIT_AT_SIGTERM" in os.environ and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

from tests.kill.app import app

__all__ = ["app"]


def __getattr__(name: str) -> object:
    """Made only for the server that asks: each needs a package that the others do not."""
    if name == "asgi":
        from a2wsgi import WSGIMiddleware

        return WSGIMiddleware(app)
    if name == "flask_app":
        from flask import Flask

        flask_app = Flask(__name__)
        flask_app.wsgi_app = app  # type: ignore[method-assign]
        return flask_app
    raise AttributeError(name)
