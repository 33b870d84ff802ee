"""The decorator with a chest that does nothing: Chest's, or Flask-Chest's where that is what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_chest import FlaskChest
from flask_chest.decorator import flask_chest

from benchmarks.peers.flask_shop import TRACKED, bare, settle, shop

__all__ = ["bare", "contender"]


class NullChest(FlaskChest):
    """Takes what it is given, and does nothing with it."""

    logger = None

    def __init__(self) -> None:
        pass

    def write(self, context_tuple_list: Any) -> None:
        pass


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five variables are named."""
    app = shop(place, flask_chest(chests=[NullChest()], tracked_vars=TRACKED, raise_exceptions=False))
    return app, settle(app)
