"""The tables of a spool's file, and what is added to those that an earlier release made."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from chest.record.encoded import plain
from chest.record.encoding import encode
from chest.record.record import Record

FORMAT: Final = 1
SCHEMA: Final = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, records INTEGER NOT NULL, bytes INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, died_ns INTEGER NOT NULL, reason TEXT NOT NULL, bytes INTEGER NOT NULL,
    line BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sizes (kind TEXT PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO sizes VALUES ('spooled', 0, 0), ('dead', 0, 0);
CREATE TABLE IF NOT EXISTS about (chest TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS spooled_in AFTER INSERT ON spooled BEGIN
    UPDATE sizes SET records = records + new.records, bytes = bytes + new.bytes WHERE kind = 'spooled'; END;
CREATE TRIGGER IF NOT EXISTS spooled_out AFTER DELETE ON spooled BEGIN
    UPDATE sizes SET records = records - old.records, bytes = bytes - old.bytes WHERE kind = 'spooled'; END;
CREATE TRIGGER IF NOT EXISTS dead_in AFTER INSERT ON dead BEGIN
    UPDATE sizes SET records = records + 1, bytes = bytes + new.bytes WHERE kind = 'dead'; END;
CREATE TRIGGER IF NOT EXISTS dead_out AFTER DELETE ON dead BEGIN
    UPDATE sizes SET records = records - 1, bytes = bytes - old.bytes WHERE kind = 'dead'; END;
PRAGMA user_version = 1;
COMMIT;
"""
_VERSION_COLUMN: Final = "version INTEGER NOT NULL DEFAULT 1"
"""Of the records in a piece or dead letter; those that were written before there was such a column are of version 1."""
_TROUBLE: Final = "CREATE TABLE IF NOT EXISTS trouble (only INTEGER PRIMARY KEY, why TEXT NOT NULL)"


def spooled_row(records: Sequence[Record]) -> tuple[int, int, bytes]:
    """Values of the columns ``records``, ``bytes`` and ``lines`` of a piece."""
    lines = encode([plain(each)[:] for each in records])
    return len(records), len(lines), lines


def add_what_is_missing(connection: sqlite3.Connection) -> None:
    """Add the table and the columns that an earlier release made no use of, whichever process comes first."""
    connection.execute(_TROUBLE)
    for table in ("spooled", "dead"):
        has_version = f"SELECT 1 FROM pragma_table_info('{table}') WHERE name = 'version'"  # noqa: S608 - one of two words of ours
        if connection.execute(has_version).fetchone() is None:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute(has_version).fetchone() is None:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {_VERSION_COLUMN}")
            connection.commit()
