"""The Kafka chest on a broker that speaks Kafka's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.contract import Chest
from chest.chests.kafka.chest import KafkaChest
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.testing.contract import ChestContract
from chest.testing.records import make_record
from tests.chests.server_contract import Place, ServerChestContract
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.kafka import Broker, KafkaProxy
from tests.servers.process import HOST


class TestContract(ChestContract):
    @pytest.fixture
    def topic(self, kafka: Broker) -> str:
        self.kafka = kafka
        return kafka.new_topic()

    @pytest.fixture
    def chest_url(self, topic: str) -> str:
        return self.kafka.url(topic)

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[KafkaChest]:
        with KafkaChest(chest_url) as chest:
            yield chest

    def stored_records(self, chest: Chest) -> list[Record]:
        return self.kafka.records(chest.name.rpartition("/")[2])


class TestServer(ServerChestContract):
    # Without compression a request can be told by what stands in it.
    write_marker = commit_marker = b'"request_id"'
    tls_query = "tls"
    impatient_query = "timeout_seconds=3"
    has_login = has_databases = False  # of this broker; see test_log_in.py and test_mock.py

    @pytest.fixture
    def proxy(self, place: Place) -> Iterator[FaultProxy]:
        proxy = KafkaProxy(place.server.port)
        yield proxy
        proxy.close()

    @pytest.fixture
    def place(self, kafka: Broker) -> Place:
        self.kafka = kafka
        self.topic = kafka.new_topic()

        def url(*, port: int = kafka.port, host: str = HOST, query: str = "", **_: Any) -> str:
            scheme, options = ("kafka+ssl", "timeout_seconds=3") if query == "tls" else ("kafka", query)
            return f"{scheme}://{host}:{port}/{self.topic}?partitions=1&compression=none&{options}"

        return Place(kafka.server, url, "no secret")

    def stored_records(self, place: Place) -> list[Record]:
        return self.kafka.records(self.topic)

    @pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.REPLY_LOST])
    def test_a_connection_cut_within_a_batch_is_made_anew_by_the_client_and_doubles_nothing(
        self, chest: Chest, place: Place, proxy: FaultProxy, fault: Fault
    ) -> None:
        """librdkafka sends again by itself, and the broker knows what it has by the producer's number."""
        chest.open()
        proxy.set(fault, self.write_marker)
        chest.write(records := _batch())
        assert proxy.cuts == 1
        assert sorted(self.stored_records(place)) == sorted(records)

    def test_a_connection_that_is_reset_is_made_anew(self, chest: Chest, place: Place, proxy: FaultProxy) -> None:
        """The client goes on trying as long as the batch may take."""
        chest.write(first := _batch())
        proxy.set(Fault.RESET)
        with pytest.raises(ChestUnavailable):
            chest.write(second := _batch())
        proxy.heal()
        self._write_until_taken(chest, second)
        assert sorted(self.stored_records(place)) == sorted([*first, *second])

    def test_a_connection_cut_before_the_records_came_stores_none_and_the_next_try_all(self) -> None:  # type: ignore[override]
        """Instead: test_a_connection_cut_within_a_batch_is_made_anew_by_the_client_and_doubles_nothing."""

    def test_a_connection_cut_before_the_commit_stores_none_and_the_next_try_all(self) -> None:  # type: ignore[override]
        """The same: one request does both."""

    def test_records_whose_commit_was_not_confirmed_are_there_and_the_next_try_doubles_none(self) -> None:  # type: ignore[override]
        """The same."""


def _batch() -> list[Record]:
    return [make_record() for _ in range(20)]
