"""What the tests of SQL chests share, and a certificate for those over HTTP."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chest.chests.sql.sqlite.chest import SQLiteChest

Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database of the test is, once there is one."""
    return tmp_path / "chest.sqlite3"


@pytest.fixture
def url(path: Path) -> str:
    """The URL of the database of the test."""
    return f"sqlite:///{path}"


@pytest.fixture
def chest(url: str) -> Iterator[SQLiteChest]:
    """A chest that was not opened, waits for no lock longer than it must, and is closed after the test."""
    with SQLiteChest(f"{url}?busy_timeout_ms=200") as chest:
        yield chest


@pytest.fixture
def execute(path: Path) -> Execute:
    """Some other program that uses the database: runs one statement on a connection of its own."""

    def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()

    return run


@pytest.fixture
def make_other_table(chest: SQLiteChest, execute: Execute) -> Callable[[str, str], None]:
    """The table as Chest makes it, but for one thing: a piece of its SQL is replaced by another."""

    def make(piece: str, another: str) -> None:
        chest.open()
        ((made,),) = execute("SELECT sql FROM sqlite_schema WHERE name = 'chest_records'")
        assert piece in made
        chest.close()
        execute("DROP TABLE chest_records")
        execute(made.replace(piece, another))

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", f"{path}.crt",
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path
