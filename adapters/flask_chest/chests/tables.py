"""Flask-Chest's table, one row a variable: what all databases have in common, and those that are servers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Flask

from chest import SettingsError
from chest.adapter import safe_url, variables_chest
from flask_chest.chests.base import FlaskChest, Triple, records_of

__all__ = ["FlaskChestMySQL", "FlaskChestPostgreSQL", "VariablesTable"]


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
        self._database_url = url or db_uri
        self._use_table(name)

    def register_table(self, table_name: str | None = None) -> None:
        """Create the table now, instead of with the first variable.

        :param table_name: another table, which is written to from now on; None: the one that there is.
        :raises ChestUnavailable: it cannot be created.
        """
        if table_name not in (None, self.name):
            self._store.close()
            self._use_table(table_name)
        self._store.open()

    def to_dict(self) -> dict[str, Any]:
        """A description without the password; ``str()`` gives it as JSON."""
        return {"db_uri": safe_url(self.db_uri)}

    def _use_table(self, name: str) -> None:
        url = self._database_url
        self.name = name
        self.url = f"{url}{'&' if '?' in url else '?'}table={name}"
        """The table's URL for Chest's registry; may hold a password."""
        self._store = variables_chest(self.url)

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._store.write(records_of(context_tuple_list))
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return f"{type(self).__name__}(name={self.name}, db_uri={safe_url(self.db_uri)})"


class _ServedTable(VariablesTable):
    """Such a table in a database on a server."""

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

    A missing table is created with the first variable. For new applications the MySQL chest
    (``chests=["mysql://user@host/database"]``) keeps the whole request in one row, and no record twice. Needs
    ``pip install 'wsgi-chest[sql]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: ``mysql://user:password@host/database``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: ``name`` or ``db_uri`` is invalid.
    """

    schemes = ("mysql", "mariadb")


class FlaskChestPostgreSQL(_ServedTable):
    """One row a variable in a table of PostgreSQL: ``unique_id, request_id, name, value``.

    A missing table is created with the first variable. For new applications the PostgreSQL chest
    (``chests=["postgresql://user@host/database"]``) keeps the whole request in one row, and no record twice. Needs
    ``pip install 'wsgi-chest[sql]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: ``postgresql://user:password@host/database``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: ``name`` or ``db_uri`` is invalid.
    """

    schemes = ("postgresql", "postgres")
