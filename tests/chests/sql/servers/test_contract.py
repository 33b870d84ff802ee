"""The SQL chest on PostgreSQL, MariaDB and MySQL 5.7: the contracts, and what the three have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from chest.chests.sql.chest import SQLChest
from tests.chests.encoded_contract import EncodedContract
from tests.chests.server_contract import Place, ServerChestContract
from tests.servers.database import PASSWORD, DatabaseServer
from tests.servers.process import HOST

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)


# MySQL 5.7 keeps it with options, below; without them its SQL is that of MariaDB.
@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
class TestContract(EncodedContract):
    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[SQLChest]:
        with SQLChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, url: str) -> str:
        return url


@pytest.mark.parametrize("server", ["postgresql", "mysql57"], indirect=True)
class TestContractWithOptions(EncodedContract):
    """Another table, whose name is a keyword, with the index."""

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[SQLChest]:
        with SQLChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, server: DatabaseServer) -> str:
        return server.new_url("table=select&index=request_id")


@everywhere
class TestServerContract(ServerChestContract):
    write_marker: ClassVar[bytes] = b"INSERT INTO"
    greenlets_at_once: ClassVar[int] = 1
    """It has one connection for writing, and a lock of the system, which one greenlet at a time may have."""

    @pytest.fixture
    def place(self, server: DatabaseServer) -> Place:
        name = server.new_database()

        def url(
            *, port: int = 0, host: str = HOST, password: str = PASSWORD, database: str = name, query: str = ""
        ) -> str:
            return server.url(database, port=port, host=host, password=password, query=query)

        return Place(server.server, url, PASSWORD)

    @pytest.fixture(autouse=True)
    def _asks_for_tls(self, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
        query = "sslmode=require" if server.scheme == "postgresql" else "ssl_mode=REQUIRED"
        monkeypatch.setattr(type(self), "tls_query", query)
