"""Chest for Flask: the extension, and Flask-Chest's decorator and classes over Chest's stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.adapter import MissingDependencyError, loaded_on_use

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
    from flask_chest.decorator import flask_chest, recorders_of
    from flask_chest.exporter import FlaskChestExporter, FlaskChestExporterInfluxDB, FlaskChestExporterMySQL

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
    "recorders_of",
]


_HOMES: Final = {
    **dict.fromkeys([name for name in __all__ if name.startswith("FlaskChest")], "flask_chest.chests"),
    **dict.fromkeys([name for name in __all__ if name.startswith("FlaskChestExporter")], "flask_chest.exporter"),
    **dict.fromkeys(["flask_chest", "recorders_of"], "flask_chest.decorator"),
}
"""Flask-Chest's names: an application that uses only the extension does not need them."""

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
