"""Flask-Chest's two functions that write to a SQLite file, for programs that call them themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask_chest.chests.base import DEFAULT_SCHEMA
from flask_chest.chests.sqlite import FlaskChestSQLite

__all__ = ["create_sqlite_table", "sqlite_write"]

_logger = logging.getLogger("flask_chest")


def create_sqlite_table(db_uri: str, schema_map: Mapping[str, Any]) -> bool:
    """Make the table if it is not there. For new programs: ``FlaskChestSQLite(...).register_table()``, which raises.

    :param db_uri: the file's path.
    :param schema_map: ``DEFAULT_SCHEMA``, or the same with another ``name``.
    :return: whether it is there; if not, the log says why.
    """
    return _try(lambda table: table.register_table(), db_uri, schema_map)


def sqlite_write(
    db_uri: str, schema: Mapping[str, Any], variable_name: str, variable_value: Any, request_id: str | None
) -> bool:
    """Write one variable. For new programs: ``FlaskChestSQLite(...).write([(name, value, request_id)])``, which raises.

    :param db_uri: the file's path.
    :param schema: as for :func:`create_sqlite_table`.
    :return: whether it is stored; if not, the log says why.
    """
    row = (variable_name, variable_value, request_id or "")
    return _try(lambda table: table.write([row]), db_uri, schema)


def _try(act: Any, db_uri: str, schema: Mapping[str, Any]) -> bool:
    try:
        if dict(schema["fields"]) != DEFAULT_SCHEMA["fields"]:
            raise ValueError(f"the fields of a table are {DEFAULT_SCHEMA['fields']}")
        table = FlaskChestSQLite(name=schema["name"], db_uri=db_uri)
        try:
            act(table)
        finally:
            table.close()
    except Exception as error:  # noqa: BLE001 - as Flask-Chest's, which tells by the value
        _logger.error("chest: writing to %s failed: %s", db_uri, error)
        return False
    return True
