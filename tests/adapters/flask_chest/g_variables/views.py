"""Views and values that the tests of ``g`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

Make = Callable[..., Any]


def setting(view: Callable[[], Any], **config: Any) -> Flask:
    """An application whose one view calls this first."""
    app = Flask("shop")
    app.config.update(config)

    @app.route("/", methods=["GET", "POST"])
    def index() -> Any:
        return view() or "done"

    return app
