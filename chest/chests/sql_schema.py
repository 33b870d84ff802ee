"""The table of an SQL chest: its columns, making it, and whether one that is there already can take records."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, Integer, MetaData, String, Table, Text, inspect
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from chest.chests.sql_database import Database
from chest.chests.sql_url import DEFAULT_TABLE
from chest.errors import SchemaMismatch
from chest.record import Record

STORED_COLUMNS: Final = (*Record._fields, "stored_at")
"""The columns that Chest writes, in the order of the values it binds."""

_INTEGERS: Final = ("time_ns", "duration_ns", "status")
_JSON: Final = ("variables", "attributes")
_NULLABLE: Final = ("route", "status", "error")
_DIFFERENCES_SHOWN: Final = 5


def record_table(name: str, *, has_request_id_index: bool) -> Table:
    """The table that Chest writes: one row a request.

    ``seq`` counts up in the order of storing and never goes back (AUTOINCREMENT): whoever follows the table follows it,
    for records arrive late. ``request_id`` has an index only when asked for: keeping one over random ids sorted takes
    two thirds of the CPU time of a record.
    """
    seq = Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)
    stored_at = Column("stored_at", DateTime(timezone=True).with_variant(Text(), "sqlite"), nullable=False)
    table = Table(
        name, MetaData(), seq, *map(_column, Record._fields), stored_at, sqlite_autoincrement=True, quote=True
    )
    Index(f"{name}_time_ns", table.c.time_ns, quote=True)
    if has_request_id_index:
        Index(f"{name}_request_id", table.c.request_id, quote=True)
    return table


def _column(name: str) -> Column[Any]:
    kind: TypeEngine[Any] = BigInteger() if name in _INTEGERS else JSON() if name in _JSON else Text()
    return Column(name, kind, nullable=name in _NULLABLE, unique=name == "id")


def make_tables(connection: Connection, table: Table, database: Database) -> None:
    """Make the table with its indexes and view where it is not there; else only an index that is asked for and missing.

    A table that is there is never altered. The view is a convenience: that it cannot be made is passed over.
    """
    inspector = inspect(connection)
    is_new = not inspector.has_table(table.name)
    there = set() if is_new else {index["name"] for index in inspector.get_indexes(table.name)}
    missing = [index for index in table.indexes if is_new or (_is_asked_for(index) and index.name not in there)]
    connection.rollback()
    if is_new or missing:
        database.begin_alone(connection)
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in missing:
            connection.execute(CreateIndex(index, if_not_exists=True))
        connection.commit()
    if is_new:
        with suppress(DBAPIError):
            connection.exec_driver_sql(database.view_text(table, view_name(table.name)))
            connection.commit()


def view_name(table: str) -> str:
    """The view of one row a variable beside the table."""
    return "chest_variables" if table == DEFAULT_TABLE else f"{table}_variables"


def require_fit(connection: Connection, table: Table, database: Database) -> None:
    """Refuse the table that is there if it cannot take records.

    :raises SchemaMismatch: what differs, and what to do.
    """
    found = differences(connection, table)
    if found:
        more = f"; and {len(found) - _DIFFERENCES_SHOWN} more" if len(found) > _DIFFERENCES_SHOWN else ""
        raise SchemaMismatch(
            f"{database.name}: the table {table.name} is not the one that Chest writes: "
            f"{'; '.join(found[:_DIFFERENCES_SHOWN])}{more}. Chest never alters a table: rename it (a new one is made),"
            " mend it, or name another with ?table=."
        )


def _is_asked_for(index: Index) -> bool:
    return [column.name for column in index.columns] == ["request_id"]


def differences(connection: Connection, table: Table) -> list[str]:
    """What keeps the table that is there from taking records: one sentence a difference; empty when it fits.

    A column that the user added is none, as long as a row may be inserted without it.
    """
    inspector = inspect(connection)
    there = {column["name"]: column for column in inspector.get_columns(table.name)}
    found = [_column_difference(connection, column, there.get(column.name)) for column in table.columns]
    found += [_extra_difference(column) for name, column in there.items() if name not in table.columns]
    found += [_key_difference(inspector, table.name)]
    return [difference for difference in found if difference]


def _column_difference(connection: Connection, wanted: Column[Any], there: Any) -> str:
    if there is None:
        return f"column {wanted.name} is missing"
    if not isinstance(there["type"], _fitting_types(wanted)):
        needed = wanted.type.compile(connection.dialect)
        return f"column {wanted.name} has the type {there['type']}, and {needed} is needed"
    if wanted.nullable and not there["nullable"]:
        return f"column {wanted.name} is NOT NULL, and has to take NULL"
    return ""


def _fitting_types(wanted: Column[Any]) -> tuple[type[TypeEngine[Any]], ...]:
    """The types that hold what Chest writes into the column; a database may call a type of its own family otherwise."""
    if wanted.name == "stored_at":
        return (DateTime, String)
    if isinstance(wanted.type, Integer):
        return (Integer,)
    return (JSON, String) if isinstance(wanted.type, JSON) else (String,)


def _extra_difference(there: Any) -> str:
    if there["nullable"] or there["default"] is not None or there.get("computed"):
        return ""
    return f"column {there['name']} is none of Chest's, and is NOT NULL without a default"


def _key_difference(inspector: Inspector, table: str) -> str:
    constraints = [list(constraint["column_names"]) for constraint in inspector.get_unique_constraints(table)]
    indexes = [list(index["column_names"]) for index in inspector.get_indexes(table) if index["unique"]]
    if inspector.get_pk_constraint(table)["constrained_columns"] != ["seq"]:
        return "column seq is not the primary key"
    return "" if ["id"] in [*constraints, *indexes] else "column id is not UNIQUE"
