"""Flask-Chest's table, one row a variable, in SQLite, MySQL and PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

from flask import Flask

from chest import SettingsError
from chest.adapter import safe_url, variables_chest
from flask_chest.triples import FlaskChest, Triple, records_of

__all__ = ["FlaskChestMySQL", "FlaskChestPostgreSQL", "FlaskChestSQLite", "VariablesTable"]


class VariablesTable(FlaskChest):
    """A table of Flask-Chest's shape in some SQL database.

    :param url: the database's, for Chest's registry.
    """

    db_uri: str

    def __init__(
        self, app: Flask | None, name: str, db_uri: str, logger: logging.Logger | None, *, url: str | None = None
    ) -> None:
        super().__init__(app, name, logger)
        self.db_uri = db_uri
        url = url or db_uri
        self.url = f"{url}{'&' if '?' in url else '?'}table={name}"
        """Of the table, as Chest's registry takes it; may hold a password."""
        self._store = variables_chest(self.url)

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._store.write(records_of(context_tuple_list))
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return f"{type(self).__name__}(name={self.name}, db_uri={safe_url(self.db_uri)})"


class FlaskChestSQLite(VariablesTable):
    """One row a variable in a table of a SQLite file, as Flask-Chest makes it: ``unique_id, request_id, name, value``.

    The table, or the file, is made when the first variable is written, if it is not there; the file is put into WAL mode,
    so that those who read it do not keep requests waiting. For new applications the SQLite chest
    (``chests=["sqlite:///chest.sqlite3"]``) keeps the whole request in one row, and no record twice.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: the file's path, or ``sqlite:///path``.
    :param logger: see :class:`FlaskChest`.
    :raises SettingsError: no such table or file can be meant.
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


class _ServedTable(VariablesTable):
    """The same in a database that is a server."""

    schemes: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "",
        logger: logging.Logger | None = None,
    ) -> None:
        if db_uri.partition(":")[0].partition("+")[0] not in self.schemes:
            raise SettingsError(
                f"{type(self).__name__} needs db_uri=, such as {self.schemes[0]}://user:password@host/database"
                + (f", and not {safe_url(db_uri)!r}" if db_uri else "")
            )
        super().__init__(app, name, db_uri, logger)


class FlaskChestMySQL(_ServedTable):
    """One row a variable in a table of MySQL or MariaDB: ``unique_id, request_id, name, value``.

    The table is made when the first variable is written, if it is not there. For new applications the MySQL chest
    (``chests=["mysql://user@host/database"]``) keeps the whole request in one row, and no record twice. Needs
    ``pip install 'wsgi-chest[sql]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: ``mysql://user:password@host/database``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: no such table or database can be meant.
    """

    schemes = ("mysql", "mariadb")


class FlaskChestPostgreSQL(_ServedTable):
    """One row a variable in a table of PostgreSQL: ``unique_id, request_id, name, value``.

    The table is made when the first variable is written, if it is not there. For new applications the PostgreSQL chest
    (``chests=["postgresql://user@host/database"]``) keeps the whole request in one row, and no record twice. Needs
    ``pip install 'wsgi-chest[sql]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: ``postgresql://user:password@host/database``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: no such table or database can be meant.
    """

    schemes = ("postgresql", "postgres")
