"""``FlaskChestMongoDB``: one document a call of a view."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from flask import Flask

from chest import SettingsError
from chest.adapter import open_chest, safe_url
from flask_chest.chests.base import FlaskChest, Triple, record_of

__all__ = ["FlaskChestMongoDB"]


class FlaskChestMongoDB(FlaskChest):
    """One document a call of a view in MongoDB, with its variables and the other fields of the record.

    It is Chest's MongoDB chest (``chests=["mongodb://host/database?collection=flask_chest"]``) under another name. Needs
    ``pip install 'wsgi-chest[mongo]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the collection.
    :param db_uri: ``mongodb://host/database``, with the options of Chest's MongoDB chest behind a ``?``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: ``db_uri`` is invalid.
    """

    _keeps_requests = True

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "mongodb://localhost/flask_chest",
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(app, name, logger)
        if db_uri.partition(":")[0] not in ("mongodb", "mongodb+srv"):
            raise SettingsError(f"db_uri={safe_url(db_uri)!r}: expected mongodb://user:password@host/database")
        self.db_uri = db_uri
        self._store = open_chest(f"{db_uri}{'&' if '?' in db_uri else '?'}collection={name}")

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        by_request: dict[str, dict[str, Any]] = {}
        for name, value, request_id in context_tuple_list:
            by_request.setdefault(request_id, {})[name] = value
        self._store.write([record_of(request_id, variables) for request_id, variables in by_request.items()])
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return f"{type(self).__name__}(name={self.name}, db_uri={safe_url(self.db_uri)})"
