"""A database of MongoDB for each test, and a chest for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from chest.chests.contract import StoredRecord
from chest.chests.mongodb.chest import MongoChest
from tests.servers import HOST, Server

Document = dict[str, Any]


def new_url(server: Server, options: str = "") -> str:
    """The URL of an unused database."""
    return f"mongodb://{HOST}:{server.port}/chest_{uuid.uuid4().hex[:12]}{options}"


@pytest.fixture
def url(mongodb: Server) -> str:
    return new_url(mongodb)


@pytest.fixture
def chest(url: str) -> Iterator[MongoChest]:
    with MongoChest(url) as chest:
        yield chest


@pytest.fixture
def client(mongodb: Server) -> Iterator[MongoClient[Document]]:
    """Some other program that uses the server."""
    with MongoClient(HOST, mongodb.port, tz_aware=True) as client:
        yield client


@pytest.fixture
def database(client: MongoClient[Document], url: str) -> Any:
    """The chest's database, as another program sees it."""
    return client[url.rpartition("/")[2]]


def ids_of(stored: list[StoredRecord]) -> list[str]:
    return [each.record.id for each in stored]


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def locked_server() -> Iterator[Server]:
    """A server that asks for a log-in: ``root`` with ``s3cret``, ``reader`` with ``r3ad``."""
    from tests.servers.mongodb import mongodb

    with mongodb("--auth") as server:
        with MongoClient(HOST, server.port) as client:
            client.admin.command("createUser", "root", pwd="s3cret", roles=["root"])
        with MongoClient(HOST, server.port, username="root", password="s3cret") as client:
            client.admin.command("createUser", "reader", pwd="r3ad", roles=["readAnyDatabase"])
            client.admin.command("createUser", "asker", pwd="4sk", roles=[{"role": "read", "db": "asked"}])
        yield server
