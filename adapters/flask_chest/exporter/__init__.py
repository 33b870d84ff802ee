"""Flask-Chest's exporters under their own names: they move what was recorded to another store on a timetable."""

from __future__ import annotations

from flask_chest.exporter.base import FlaskChestExporter
from flask_chest.exporter.influxDB import FlaskChestExporterInfluxDB
from flask_chest.exporter.mysql import FlaskChestExporterMySQL

__all__ = ["FlaskChestExporter", "FlaskChestExporterInfluxDB", "FlaskChestExporterMySQL"]
