"""``make_asked_index``: the index on ``request_id`` of a table that exists, if making it keeps no writer waiting."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Index, Table, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from chest.chests.sql.dialect import LARGEST_BYTES_CHANGED, Database

__all__ = ["is_asked_for", "make_asked_index"]

_log: Final = logging.getLogger("chest.chests.sql")


def is_asked_for(index: Index) -> bool:
    """True if this is the index that ``?index=request_id`` asks for."""
    return [column.name for column in index.columns] == ["request_id"]


def make_asked_index(connection: Connection, table: Table, database: Database) -> None:
    """Make the index if it is asked for and missing, and the table is small; else log the statement to run.

    Making it holds up all writers. On a large table that takes longer than they wait, and so it fails, at each try. Whatever
    fails is logged and not raised: the index makes finding an id quicker, and records are stored without it.

    :param connection: of its own; afterwards only to be closed.
    """
    index = next(filter(is_asked_for, table.indexes), None)
    if index is None:
        return
    reason = "the table is large, and making the index would hold up all writers"
    text = f"CREATE INDEX on request_id of {table.name}"
    try:
        if _is_there(connection, table):
            return
        text = database.online_index_text(connection, str(index.name), table.name)
        if database.table_bytes(connection, table) <= LARGEST_BYTES_CHANGED:
            connection.rollback()
            with database.exclusive_write(connection, table.name):
                if not _is_there(connection, table):
                    connection.execute(CreateIndex(index))
                connection.commit()
            return
    except DBAPIError as error:
        reason = str(database.explain(error))
    _log.warning(
        "chest: %s: the index on request_id is missing, so finding an id reads the whole table of %s; records are stored. Reason:"
        " %s. Run once: %s",
        database.name, table.name, reason.removesuffix("."), text,
    )  # fmt: skip


def _is_there(connection: Connection, table: Table) -> bool:
    """True if any index begins with ``request_id``, under whatever name."""
    return any(index["column_names"][:1] == ["request_id"] for index in inspect(connection).get_indexes(table.name))
