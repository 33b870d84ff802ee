"""``FlaskChestSQLite``: Flask-Chest's table in a SQLite file."""

from __future__ import annotations

import logging

from flask import Flask

from flask_chest.chests.tables import VariablesTable

__all__ = ["FlaskChestSQLite"]


class FlaskChestSQLite(VariablesTable):
    """One row a variable in a table of a SQLite file, as Flask-Chest makes it: ``unique_id, request_id, name, value``.

    A missing table or file is created with the first variable; the file is put into WAL mode,
    so that readers do not keep requests waiting. For new applications the SQLite chest
    (``chests=["sqlite:///chest.sqlite3"]``) keeps the whole request in one row, and no record twice.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: the file's path, or ``sqlite:///path``.
    :param logger: see :class:`FlaskChest`.
    :raises SettingsError: ``name`` or ``db_uri`` is invalid.
    """

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "db.sqlite3",
        logger: logging.Logger | None = None,
    ) -> None:
        is_url = db_uri.startswith("sqlite:")
        url = db_uri if is_url else "sqlite:///" + db_uri.replace("%", "%25").replace("?", "%3F")
        super().__init__(app, name, db_uri, logger, url=url)
