"""Chest for Flask: the extension, and Flask-Chest's decorator and classes over Chest's stores."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chest.adapter import MissingDependencyError

try:
    from flask_chest.extension import AppRecorder, FlaskRecorder
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise MissingDependencyError("flask_chest needs Flask: pip install 'wsgi-chest[flask]'") from error

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
    from flask_chest.exporters import FlaskChestExporter, FlaskChestExporterInfluxDB, FlaskChestExporterMySQL

__all__ = [
    "AppRecorder",
    "FlaskChest",
    "FlaskChestCustomWriter",
    "FlaskChestExporter",
    "FlaskChestExporterInfluxDB",
    "FlaskChestExporterMySQL",
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
    home = "decorator" if name == "flask_chest" else "exporters" if name.startswith("FlaskChestExporter") else "chests"
    return getattr(importlib.import_module(f"flask_chest.{home}"), name)
