"""The table of an SQL chest: its columns, how it is created, and whether an existing one can take records."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    FromClause,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    cast,
    inspect,
    null,
    select,
)
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from chest.chests.sql.columns import (
    INTEGER_COLUMNS,
    JSON_COLUMNS,
    NULLABLE_COLUMNS,
    STORED_COLUMNS,
    MissingColumns,
    missing_from,
    view_name,
)
from chest.chests.sql.dialect import Database
from chest.errors import ChestError, LoginRefused, SchemaMismatch
from chest.record.record import Record

_DIFFERENCES_SHOWN: Final = 5
_OLDER_VIEW: Final = ["request_id", "name", "value", "recorded_at"]
"""The columns of the view before it had ``id``."""


def record_table(
    name: str, database: Database, *, has_request_id_index: bool, partitioned_options: Mapping[str, Any] | None = None
) -> Table:
    """The table that Chest writes: one row a request.

    ``seq`` counts up in the order of storing and never goes back. A reader that follows the table follows ``seq``, as
    records arrive late. ``request_id`` has an index only if the URL asks for it: keeping random ids sorted takes two
    thirds of the CPU time of a record.

    :param partitioned_options: of a table that is partitioned by ``id``; then ``id`` belongs to the primary key.
    """
    is_partitioned = partitioned_options is not None
    seq = Column("seq", database.types.counter, primary_key=True, autoincrement=True)
    columns = [_column(name, database, is_partitioned=is_partitioned) for name in Record._fields]
    stored_at = Column("stored_at", database.types.moment, nullable=False)
    table = Table(
        name,
        MetaData(),
        seq,
        *columns,
        stored_at,
        *database.more_columns(),
        **{**TABLE_OPTIONS, **(partitioned_options or {})},
    )
    Index(f"{name}_time_ns", table.c.time_ns, quote=True)
    if has_request_id_index:
        Index(f"{name}_request_id", table.c.request_id, quote=True)
    return table


TABLE_OPTIONS: Final[dict[str, Any]] = {
    "quote": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""Options of every table that Chest creates; each database uses its own."""


def _column(name: str, database: Database, *, is_partitioned: bool) -> Column[Any]:
    is_id = name == "id"
    kind = _type_of(name, database)
    return Column(name, kind, nullable=name in NULLABLE_COLUMNS, unique=is_id, primary_key=is_id and is_partitioned)


def _type_of(name: str, database: Database) -> TypeEngine[Any]:
    if name in INTEGER_COLUMNS:
        return BigInteger()
    if name in JSON_COLUMNS:
        return database.types.json
    named = {"id": database.types.id, "request_id": database.types.short_text}
    return named.get(name, database.types.text)


def make_tables(connection: Connection, table: Table, database: Database) -> None:
    """Create a missing table with its indexes and view.

    The view is a convenience: an error while creating it is ignored. A view of an earlier release is replaced.
    """
    is_there = inspect(connection).has_table(table.name)
    connection.rollback()
    if not is_there:
        with database.exclusive_write(connection, table.name):
            # Again: another process may have made them meanwhile.
            is_there = inspect(connection).has_table(table.name)
            if not is_there:
                connection.execute(CreateTable(table))
                for index in table.indexes:
                    connection.execute(CreateIndex(index))
            connection.commit()
    _make_view(connection, table, database, is_new=not is_there)


def _make_view(connection: Connection, table: Table, database: Database, *, is_new: bool) -> None:
    view = view_name(table.name)
    try:
        is_older = not is_new and database.view_columns(connection, view) == _OLDER_VIEW
        connection.rollback()
        if is_new or is_older:
            with database.exclusive_write(connection, table.name):
                if is_new:
                    connection.exec_driver_sql(database.view_text(table, view))
                else:
                    text = database.view_text(table, view).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
                    database.change_schema(connection, text)
                connection.commit()
    except DBAPIError:
        connection.rollback()


def require_fit(connection: Connection, table: Table, database: Database, *, is_for_writing: bool = True) -> None:
    """Refuse an existing table that cannot take records, or cannot be read.

    :raises SchemaMismatch: what differs, and what to do.
    """
    found = differences(connection, table)
    unfilled = _unfilled_columns(connection, table) if is_for_writing and not found else []
    if unfilled and not database.fills_columns(connection, table, present_columns(connection, table)):
        found = [f"column {name} is not Chest's and is NOT NULL without a default" for name in unfilled]
    if found:
        more = f"; and {len(found) - _DIFFERENCES_SHOWN} more" if len(found) > _DIFFERENCES_SHOWN else ""
        raise SchemaMismatch(
            f"{database.name}: the table {table.name} does not fit: "
            f"{'; '.join(found[:_DIFFERENCES_SHOWN])}{more}. Chest adds only columns that may be NULL."
            " Rename the table (Chest creates a new one), correct it, or name another with ?table=."
        )


def present_columns(connection: Connection, table: Table) -> list[str]:
    """Of the columns that Chest writes, those that the table has."""
    names = _names(connection, table)
    return [name for name in STORED_COLUMNS if name in names]


def add_missing(connection: Connection, table: Table, database: Database, missing: MissingColumns) -> None:
    """Add missing columns that may be NULL; if that is refused, note why."""
    refusal = ""
    if missing_from(_names(connection, table)):
        connection.rollback()
        try:
            with database.exclusive_write(connection, table.name):
                # Again: another process may have added them meanwhile.
                for statement in _adding(connection, table, database, _names(connection, table)):
                    database.change_schema(connection, statement)
                connection.commit()
        except DBAPIError as error:
            connection.rollback()
            refusal = _reason(database, database.explain(error))
    note_missing(connection, table, database, missing, refusal)


def note_missing(
    connection: Connection, table: Table, database: Database, missing: MissingColumns, refusal: str = ""
) -> None:
    """Note what the table lacks now."""
    names = _names(connection, table)
    missing.note(names, _adding(connection, table, database, names), refusal)


def require_rights(connection: Connection, table: Table, database: Database, missing: MissingColumns) -> None:
    """Raise what a write would raise because a right is missing; if only columns that may be NULL are denied, note them instead."""
    try:
        database.require_rights(connection, table, missing.written)
    except DBAPIError as error:
        refusal = database.explain(error)
        connection.rollback()
        if not isinstance(refusal, LoginRefused):
            raise
        needed = tuple(name for name in missing.written if name not in NULLABLE_COLUMNS)
        database.require_rights(connection, table, needed)
        optional = [name for name in missing.written if name in NULLABLE_COLUMNS]
        denied = [name for name in optional if not _try_rights(connection, table, database, (*needed, name))]
        missing.note_denied(denied, _reason(database, refusal))


def _try_rights(connection: Connection, table: Table, database: Database, columns: tuple[str, ...]) -> bool:
    try:
        database.require_rights(connection, table, columns)
    except DBAPIError:
        connection.rollback()
        return False
    return True


def _reason(database: Database, error: ChestError) -> str:
    return str(error).removeprefix(f"{database.name} ").removesuffix(".")


def readable(connection: Connection, table: Table) -> FromClause:
    """What to read from: the table itself, or a query that adds NULL for each missing column."""
    missing = missing_from(_names(connection, table))
    if not missing:
        return table
    there = [table.c.seq, *(table.c[name] for name in STORED_COLUMNS if name not in missing)]
    nulls = {name: cast(null(), BigInteger if name in INTEGER_COLUMNS else Text) for name in missing}
    return select(*there, *(value.label(name) for name, value in nulls.items())).subquery()


def _adding(connection: Connection, table: Table, database: Database, names: Container[str]) -> list[str]:
    """The statements that add what a table with these columns lacks."""
    columns = [table.c[name] for name in missing_from(names)]
    written = [str(CreateColumn(column).compile(dialect=connection.dialect)) for column in columns]
    return [database.adding_text(connection, table, column) for column in written]


def _names(connection: Connection, table: Table) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table.name)}


def differences(connection: Connection, table: Table) -> list[str]:
    """How an existing table differs from Chest's: one sentence a difference; empty if it fits."""
    inspector = inspect(connection)
    there = {column["name"]: column for column in inspector.get_columns(table.name)}
    ours = ("seq", *STORED_COLUMNS)
    found = [_column_difference(connection, table.c[name], there.get(name)) for name in ours]
    found += [_key_difference(inspector, table.name)]
    return [difference for difference in found if difference]


def _column_difference(connection: Connection, wanted: Column[Any], there: Any) -> str:
    if there is None:
        return "" if wanted.nullable else f"column {wanted.name} is missing"
    if not isinstance(there["type"], _fitting_types(wanted)):
        needed = wanted.type.compile(connection.dialect)
        return f"column {wanted.name} has the type {there['type']}, and {needed} is needed"
    if wanted.nullable and not there["nullable"]:
        return f"column {wanted.name} is NOT NULL, but must accept NULL"
    return ""


def _fitting_types(wanted: Column[Any]) -> tuple[type[TypeEngine[Any]], ...]:
    """The types that hold what Chest writes into the column; a database may report a related type."""
    if wanted.name == "stored_at":
        return (DateTime, String)
    if isinstance(wanted.type, Integer):
        return (Integer,)
    return (JSON, String) if isinstance(wanted.type, JSON) else (String,)


def _unfilled_columns(connection: Connection, table: Table) -> list[str]:
    """The user's own columns that no default fills; a trigger may."""
    return [
        column["name"]
        for column in inspect(connection).get_columns(table.name)
        if column["name"] not in ("seq", *STORED_COLUMNS)
        and not (
            column["nullable"] or column["default"] is not None or column.get("computed") or column.get("identity")
        )
    ]


def _key_difference(inspector: Inspector, table: str) -> str:
    constraints = [list(constraint["column_names"]) for constraint in inspector.get_unique_constraints(table)]
    indexes = [list(index["column_names"]) for index in inspector.get_indexes(table) if index["unique"]]
    # A partitioned table needs what it is partitioned by in every key.
    if inspector.get_pk_constraint(table)["constrained_columns"] not in (["seq"], ["seq", "id"]):
        return "column seq is not the primary key"
    return "" if ["id"] in [*constraints, *indexes] else "column id is not UNIQUE"
