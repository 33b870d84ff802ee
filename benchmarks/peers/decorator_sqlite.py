"""The decorator with ``FlaskChestSQLite``: Chest's, or Flask-Chest's where that is what is installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from flask_chest import FlaskChestSQLite
from flask_chest.decorator import flask_chest

from benchmarks.peers.flask_shop import TRACKED, bare, settle, shop

__all__ = ["bare", "contender"]


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five variables are named."""
    os.chdir(place)
    chest = FlaskChestSQLite(app=Flask("benchmarks.store"), db_uri="db.sqlite3")
    app = shop(place, flask_chest(chests=[chest], tracked_vars=TRACKED, raise_exceptions=False))
    return app, settle(app)
