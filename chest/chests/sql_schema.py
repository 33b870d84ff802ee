"""The table of an SQL chest: its columns, making it, and whether one that is there already can take records."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, Integer, MetaData, String, Table, inspect
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from chest.chests.sql_database import STORED_COLUMNS, Database
from chest.chests.sql_url import DEFAULT_TABLE
from chest.errors import SchemaMismatch
from chest.record import Record

_INTEGERS: Final = ("time_ns", "duration_ns", "status")
_JSON: Final = ("variables", "attributes")
_NULLABLE: Final = ("route", "status", "error")
_DIFFERENCES_SHOWN: Final = 5


def record_table(name: str, database: Database, *, has_request_id_index: bool) -> Table:
    """The table that Chest writes: one row a request.

    ``seq`` counts up in the order of storing and never goes back (AUTOINCREMENT): whoever follows the table follows it,
    for records arrive late. ``request_id`` has an index only when asked for: keeping one over random ids sorted takes
    two thirds of the CPU time of a record.
    """
    seq = Column("seq", database.types.counter, primary_key=True, autoincrement=True)
    columns = [_column(name, database) for name in Record._fields]
    stored_at = Column("stored_at", database.types.moment, nullable=False)
    table = Table(name, MetaData(), seq, *columns, stored_at, *database.more_columns(), **TABLE_OPTIONS)
    Index(f"{name}_time_ns", table.c.time_ns, quote=True)
    if has_request_id_index:
        Index(f"{name}_request_id", table.c.request_id, quote=True)
    return table


TABLE_OPTIONS: Final[dict[str, Any]] = {
    "quote": True,
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""Of every table that Chest makes; each database takes what is its own."""


def _column(name: str, database: Database) -> Column[Any]:
    return Column(name, _type_of(name, database), nullable=name in _NULLABLE, unique=name == "id")


def _type_of(name: str, database: Database) -> TypeEngine[Any]:
    if name in _INTEGERS:
        return BigInteger()
    if name in _JSON:
        return database.types.json
    named = {"id": database.types.id, "request_id": database.types.short_text}
    return named.get(name, database.types.text)


def make_tables(connection: Connection, table: Table, database: Database) -> None:
    """Make the table with its indexes and view where it is not there; else only an index that is asked for and missing.

    A table that is there is never altered. The view is a convenience: that it cannot be made is passed over.
    """
    if not _missing(connection, table)[0]:
        connection.rollback()
        return
    connection.rollback()
    with database.turn(connection, table.name):
        # Again: another process may have made them meanwhile.
        missing, is_new = _missing(connection, table)
        for each in missing:
            connection.execute(each)
        connection.commit()
    if is_new:
        try:
            connection.exec_driver_sql(database.view_text(table, view_name(table.name)))
            connection.commit()
        except DBAPIError:
            connection.rollback()


def _missing(connection: Connection, table: Table) -> tuple[list[CreateTable | CreateIndex], bool]:
    """What makes the table with its indexes, or the index that is asked for, where it is missing; and whether all is."""
    inspector = inspect(connection)
    if not inspector.has_table(table.name):
        return [CreateTable(table), *map(CreateIndex, table.indexes)], True
    there = {index["name"] for index in inspector.get_indexes(table.name)}
    return [CreateIndex(index) for index in table.indexes if _is_asked_for(index) and index.name not in there], False


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
    ours = ("seq", *STORED_COLUMNS)
    found = [_column_difference(connection, table.c[name], there.get(name)) for name in ours]
    found += [_extra_difference(column) for name, column in there.items() if name not in ours]
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
