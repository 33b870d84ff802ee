"""``FlaskChestExporterMySQL``: moves a table of variables to one in MySQL."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

from flask_chest.chests.base import FlaskChest
from flask_chest.chests.tables import FlaskChestMySQL
from flask_chest.exporter.base import FlaskChestExporter

__all__ = ["FlaskChestExporterMySQL"]


class FlaskChestExporterMySQL(FlaskChestExporter):
    """To a table of Flask-Chest's shape in MySQL or MariaDB; Flask-Chest's own class of this name does nothing.

    :param chest: holds the variables.
    :param user: with ``password``, ``host`` and ``database`` the target, unless ``db_uri`` is given.
    :param interval_minutes: how often.
    :param db_uri: ``mysql://user:password@host/database``.
    :param table_name: the table there: letters, digits and ``_``.
    :param logger: see :class:`FlaskChestExporter`.
    :param options: see :class:`FlaskChestExporter`.
    :raises SettingsError: as :class:`FlaskChestExporter`.
    :raises MissingDependencyError: as :class:`FlaskChestExporter`.
    """

    def __init__(
        self,
        chest: FlaskChest,
        user: str = "",
        password: str = "",
        host: str = "localhost",
        database: str = "",
        interval_minutes: float = 1,
        *,
        db_uri: str = "",
        table_name: str = "flask_chest",
        logger: logging.Logger | None = None,
        **options: Any,
    ) -> None:
        if not db_uri:
            login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
            db_uri = f"mysql://{login}{host}/{quote(database, safe='')}"
        target = FlaskChestMySQL(name=table_name, db_uri=db_uri)
        super().__init__(chest, interval_minutes, logger, target=target, **options)

    def start_exporting(self) -> None:
        """:meth:`start_export_task`, by Flask-Chest's name."""
        self.start_export_task()
