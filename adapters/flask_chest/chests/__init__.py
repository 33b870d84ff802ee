"""Flask-Chest's chests under their own names, over Chest's: what ``flask_chest(chests=[...])`` and recorders write to."""

from __future__ import annotations

from flask_chest.chests.base import FlaskChest
from flask_chest.chests.custom import FlaskChestCustomWriter
from flask_chest.chests.influxDB import FlaskChestInfluxDB
from flask_chest.chests.mongodb import FlaskChestMongoDB
from flask_chest.chests.sqlite import FlaskChestSQLite
from flask_chest.chests.tables import FlaskChestMySQL, FlaskChestPostgreSQL

__all__ = [
    "FlaskChest",
    "FlaskChestCustomWriter",
    "FlaskChestInfluxDB",
    "FlaskChestMongoDB",
    "FlaskChestMySQL",
    "FlaskChestPostgreSQL",
    "FlaskChestSQLite",
]
