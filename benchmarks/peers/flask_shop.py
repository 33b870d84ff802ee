"""The Flask application that the rivals around Flask are measured on, bare and each with what it adds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, g

TRACKED = {"GET": ["user_id", "plan", "cart_items", "is_beta", "render_ms"]}


def shop(place: Path, decorate: Callable[[Callable[[], str]], Callable[[], str]] | None = None) -> Flask:
    """One view that leaves five variables on ``g``.

    :param place: where Chest keeps its ring files.
    :param decorate: what stands on the view.
    """
    app = Flask("benchmarks.shop")
    app.config["CHEST_DIRECTORY"] = str(place / "rings")

    def index() -> str:
        g.user_id, g.plan, g.cart_items, g.is_beta, g.render_ms = "123", "premium", 5, True, 1.25
        return "hello"

    app.add_url_rule("/", view_func=index if decorate is None else decorate(index))
    return app


bare: Any = shop(Path("unused"))


def settle(app: Flask) -> Callable[[], object]:
    """What waits until Chest has delivered what this application left; Flask-Chest leaves nothing behind a request."""

    def settled() -> None:
        try:
            from flask_chest.decorator import recorders_of
        except ImportError:
            return
        recorders = list(recorders_of(app))
        if "chest" in app.extensions:
            recorders.append(app.extensions["chest"].recorder)
        for recorder in recorders:
            if not recorder.flush(30) or "dropped" in recorder.stats():
                raise RuntimeError(f"not all that was measured was recorded: {recorder.stats()}")

    return settled
