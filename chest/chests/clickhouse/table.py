"""The table of records in ClickHouse: made, checked, and what an operator should know about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from chest.chests.clickhouse.server import ClickHouseServer, StatementFailed, literal
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.errors import ChestUnavailable, LoginRefused, SchemaMismatch, UnknownDatabase
from chest.record.record import Record

__all__ = ["COLUMNS", "Table", "check_rights", "look_at", "make_ready"]

COLUMNS: Final = (*Record._fields, "place")
"""What is inserted. ``place`` and ``time_ns`` are not stored: ``seq`` and ``time`` are made of them."""
_WINDOW: Final = 100_000
"""Entries in the log of what was inserted. An insert makes two or three, and all hosts share it: of 1,000 a batch was forgotten within 500 inserts."""
_LEAST_WINDOW: Final = 10_000
"""What a replicated table has if nothing else is said."""
_WINDOW_SECONDS: Final = 7 * 86_400
"""As long as a server of ours remembered before release 26; a spool may wait for a long weekend."""
_JSON_SINCE: Final = (25, 3)
_NEEDED: Final = ("seq", "time", *COLUMNS)
_SYNTAX_ERROR: Final = 62
_SETTING: Final = r"\b{}\s*=\s*(\d+)"
_TTL: Final = re.compile(r"\bTTL\b.*?toIntervalDay\((\d+)\)")

_CREATE: Final = """\
CREATE TABLE IF NOT EXISTS {table} (
    seq Int64 DEFAULT toUnixTimestamp64Nano(now64(9)) + place CODEC(Delta, ZSTD(1)),
    place UInt32 EPHEMERAL,
    id String CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    time DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(time_ns, 'UTC') CODEC(Delta, ZSTD(1)),
    time_ns Int64 EPHEMERAL,
    duration_ns Int64 CODEC(T64, ZSTD(1)),
    method LowCardinality(String),
    path String CODEC(ZSTD(1)),
    route LowCardinality(Nullable(String)),
    status Nullable(Int64) CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    error LowCardinality(Nullable(String)),
    variables String DEFAULT '{{}}' CODEC(ZSTD(1)),
    attributes String DEFAULT '{{}}' CODEC(ZSTD(1)),
    service LowCardinality(String),
    release LowCardinality(String),
    host LowCardinality(String),{json}
    INDEX seq_minmax seq TYPE minmax GRANULARITY 1,
    INDEX request_id_bloom request_id TYPE bloom_filter GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (service, ifNull(route, ''), time, id){ttl}
SETTINGS non_replicated_deduplication_window = {window}"""
_JSON_COLUMN: Final = "\n    variables_json JSON MATERIALIZED variables,"
_TTL_CLAUSE: Final = "toDateTime(time) + INTERVAL {} DAY"


class Table(NamedTuple):
    """What the server says of a table."""

    engine: str
    definition: str
    """The engine with all that follows it, as the server shows it."""
    columns: frozenset[str]

    @property
    def has_json(self) -> bool:
        """True if a column of the type JSON is made of the variables."""
        return "variables_json" in self.columns


def look_at(server: ClickHouseServer, target: ClickHouseTarget) -> Table | None:
    """The table; None if there is none, or this user may not see it."""
    where = f"database = {literal(target.database)}"
    name = literal(target.table)
    found = server.rows(f"SELECT engine, engine_full FROM system.tables WHERE {where} AND name = {name}")  # noqa: S608
    if not found:
        return None
    columns = server.rows(f"SELECT name FROM system.columns WHERE {where} AND table = {name}")  # noqa: S608
    engine, definition = found[0]
    return Table(engine, definition, frozenset(row[0] for row in columns))


def make_ready(server: ClickHouseServer, target: ClickHouseTarget) -> Table:
    """Make the table if there is none, and the time to live that the URL asks for.

    :raises SchemaMismatch: the table is not one that Chest writes.
    """
    table = look_at(server, target)
    if table is None:
        server.run(_statement(server, target))
        table = look_at(server, target)
        if table is None:
            raise ChestUnavailable(
                f"{target.name}: this user may not see the table {target.table}: GRANT SELECT on it."
            )
    require_fit(table, target)
    if target.ttl_days is not None and _ttl_days(table) != target.ttl_days:
        server.run(f"ALTER TABLE {target.quoted_table} MODIFY TTL {_TTL_CLAUSE.format(target.ttl_days)}")
    return table


def require_fit(table: Table, target: ClickHouseTarget) -> None:
    """Refuse a table that lacks a column."""
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise SchemaMismatch(
            f"{target.name}: the table {target.table} has no column {', '.join(missing)}, so it is not one that Chest"
            " writes. Give the URL another ?table=."
        )


def require_database(server: ClickHouseServer, target: ClickHouseTarget) -> None:
    """See that there is the database, or that this user may see it.

    :raises UnknownDatabase: there is none.
    """
    if not server.rows(f"SELECT 1 FROM system.databases WHERE name = {literal(target.database)}"):  # noqa: S608
        raise UnknownDatabase(f"{target.name}: no database {target.database}: check the name, or CREATE DATABASE.")


def notices_of(server: ClickHouseServer, target: ClickHouseTarget, table: Table) -> Sequence[str]:
    """What may double records: the server forgets a batch before it can come again."""
    is_replicated = table.engine.startswith(("Replicated", "Shared"))
    kind = "replicated" if is_replicated else "non_replicated"
    inserts = _window(server, table, f"{kind}_deduplication_window")
    seconds = _window(server, table, "replicated_deduplication_window_seconds") if is_replicated else None
    wanted = []
    if inserts is not None and inserts < _LEAST_WINDOW:
        wanted.append((f"{kind}_deduplication_window", inserts, "entries, two or three an insert,", _WINDOW))
    if seconds is not None and seconds < _WINDOW_SECONDS:
        wanted.append(("replicated_deduplication_window_seconds", seconds, "seconds", _WINDOW_SECONDS))
    return [
        f"the table {target.table} remembers a batch for {found} {unit} only. A batch whose answer was lost, and"
        f" that waits longer in the spool, may be stored twice. Run: ALTER TABLE {target.quoted_table} MODIFY SETTING {name} = {enough}"
        for name, found, unit, enough in wanted
    ]


def check_rights(server: ClickHouseServer, target: ClickHouseTarget, table: Table | None) -> None:
    """See that this user may make the table if there is none, and insert.

    A server before 24.10 has no statement that asks for a right; then only the log-in is known to be good.

    :raises LoginRefused: the right is missing.
    """
    right = "CREATE TABLE" if table is None else "INSERT"
    try:
        # Its parser takes no FORMAT.
        is_granted = server.run(f"CHECK GRANT {right} ON {target.quoted_table}", is_read=True).strip() == "1"
    except StatementFailed as error:
        if error.code != _SYNTAX_ERROR:
            raise
        return
    if not is_granted:
        raise LoginRefused(
            f"{target.name}: the user {target.user} lacks a right: GRANT {right} ON {target.quoted_table} TO {target.user}."
        )


def _statement(server: ClickHouseServer, target: ClickHouseTarget) -> str:
    ((version,),) = server.rows("SELECT version()")
    has_json = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= _JSON_SINCE
    return _CREATE.format(
        table=target.quoted_table,
        json=_JSON_COLUMN if has_json else "",
        ttl="" if target.ttl_days is None else f"\nTTL {_TTL_CLAUSE.format(target.ttl_days)}",
        window=_WINDOW,
    )


def _ttl_days(table: Table) -> int | None:
    match = _TTL.search(table.definition)
    return int(match[1]) if match else None


def _window(server: ClickHouseServer, table: Table, name: str) -> int | None:
    """A setting of the table, else of the server; None if the server has no such setting, or this user may not see it."""
    match = re.search(_SETTING.format(name), table.definition)
    if match:
        return int(match[1])
    kind = "replicated_merge_tree_settings" if name.startswith("replicated") else "merge_tree_settings"
    try:
        found = server.rows(f"SELECT value FROM system.{kind} WHERE name = {literal(name)}")  # noqa: S608
    except (LoginRefused, StatementFailed):
        return None
    return int(found[0][0]) if found else None
