"""The NATS chest on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.contract import Chest
from chest.chests.nats.chest import NatsChest
from chest.record.record import Record
from chest.testing.contract import ChestContract
from tests.chests.server_contract import Place, ServerChestContract
from tests.servers.nats import PASSWORD, Nats


@pytest.fixture
def url(nats: Nats) -> str:
    """Of a stream that is not there."""
    return nats.new_url()


@pytest.fixture
def chest(url: str) -> Iterator[NatsChest]:
    with NatsChest(url) as chest:
        yield chest


class _Contract(ChestContract):
    query = ""

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[NatsChest]:
        with NatsChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, nats: Nats) -> str:
        self.nats, self.stream = nats, nats.new_stream()
        return nats.url(self.stream, query=self.query)

    def stored_records(self, chest: Chest) -> list[Record]:
        return self.nats.records(self.stream)


class TestContract(_Contract):
    pass


class TestContractOfWholeBatches(_Contract):
    query = "atomic=1"


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"HPUB"
    tls_query = "tls"
    has_databases = False

    @pytest.fixture
    def place(self, nats: Nats) -> Place:
        self.nats, self.stream = nats, nats.new_stream()

        def url(**parts: Any) -> str:
            parts.pop("database", None)
            if parts.get("query") == "tls":
                return nats.url(self.stream).replace("nats://", "nats+tls://")
            return nats.url(self.stream, **parts)

        return Place(nats.server, url, PASSWORD)

    def stored_records(self, place: Place) -> list[Record]:
        return self.nats.records(self.stream)
