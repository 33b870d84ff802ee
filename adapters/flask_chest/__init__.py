"""Chest for Flask: the extension, and Flask-Chest's decorator and classes over Chest's stores."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flask_chest.extension import AppRecorder, FlaskRecorder

if TYPE_CHECKING:
    from flask_chest.chests import (
        FlaskChest,
        FlaskChestCustomWriter,
        FlaskChestInfluxDB,
        FlaskChestMongoDB,
        FlaskChestMySQL,
        FlaskChestPostgreSQL,
        FlaskChestSQLite,
    )
    from flask_chest.decorator import flask_chest

__all__ = [
    "AppRecorder",
    "FlaskChest",
    "FlaskChestCustomWriter",
    "FlaskChestInfluxDB",
    "FlaskChestMongoDB",
    "FlaskChestMySQL",
    "FlaskChestPostgreSQL",
    "FlaskChestSQLite",
    "FlaskRecorder",
    "flask_chest",
]


def __getattr__(name: str) -> Any:
    """Flask-Chest's names, loaded when they are used: an application with the extension alone needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module("flask_chest.decorator" if name == "flask_chest" else "flask_chest.chests")
    return getattr(module, name)
