"""``FlaskRecorder``, every default on, to SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_chest import FlaskRecorder

from benchmarks.peers.flask_shop import bare, settle, shop

__all__ = ["bare", "contender"]


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """The variables are on ``g``, and nothing names them."""
    app = shop(place)
    FlaskRecorder(app, chests=[f"sqlite:///{place}/chest.sqlite3"])
    return app, settle(app)
