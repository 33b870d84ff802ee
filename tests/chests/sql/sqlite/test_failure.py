"""What is told of an error of SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chest.chests.sql.sqlite.failure import cure_of


def test_a_file_that_is_moved_amid_a_transaction_is_not_told_as_a_lack_of_rights(tmp_path: Path) -> None:
    path = tmp_path / "chest.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE mine (a)")
        connection.execute("BEGIN IMMEDIATE")
        path.rename(tmp_path / "old.sqlite3")
        with pytest.raises(sqlite3.OperationalError) as refusal:
            connection.execute("INSERT INTO mine VALUES (1)")
    cure = cure_of(refusal.value, path, 1000)
    assert "was moved away or removed" in cure
    assert "permission" not in cure


def test_an_error_without_a_cure_says_what_it_says(tmp_path: Path) -> None:
    assert cure_of(sqlite3.ProgrammingError("Cannot operate on a closed database."), tmp_path / "x", 1000) == ""
