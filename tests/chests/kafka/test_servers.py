"""The Kafka chest on a broker that speaks Kafka's protocol."""

from __future__ import annotations

import logging
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import KafkaError

from chest.chests.contract import Chest
from chest.chests.kafka.chest import KafkaChest
from chest.chests.kafka.failures import error_of
from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable, LoginRefused, TLSRefused, UnknownDatabase
from chest.record.record import Record
from chest.testing.records import make_record
from chest.testing.stream_contract import StreamChestContract
from tests.chests.server_contract import SECRET, Place, ServerChestContract
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.kafka import Broker, KafkaProxy, quick_clients, tansu  # noqa: F401 - a fixture
from tests.servers.process import HOST


class TestContract(StreamChestContract):
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
        return self.kafka.records(chest.name.rpartition("/")[2])  # also what is there twice in the topic


class TestServer(ServerChestContract):
    # Without compression a request can be told by what stands in it.
    write_marker = commit_marker = b'"request_id"'
    tls_query = "tls"
    impatient_query = "timeout_seconds=5"
    has_login = has_databases = False  # of this broker: see below

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
            scheme, options = ("kafka+ssl", "timeout_seconds=30") if query == "tls" else ("kafka", query)
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
        chest.wait_at_most(2)
        proxy.set(Fault.RESET)
        with pytest.raises(ChestUnavailable):
            chest.write(second := _batch())
        proxy.heal()
        self._write_until_taken(chest, second)
        assert sorted(self.stored_records(place)) == sorted([*first, *second])

    # Instead of these: test_a_connection_cut_within_a_batch_is_made_anew_by_the_client_and_doubles_nothing. One request does all of it.
    test_a_connection_cut_before_the_records_came_stores_none_and_the_next_try_all = None  # type: ignore[assignment]
    test_a_connection_cut_before_the_commit_stores_none_and_the_next_try_all = None  # type: ignore[assignment]
    test_records_whose_commit_was_not_confirmed_are_there_and_the_next_try_doubles_none = None  # type: ignore[assignment]


def _batch() -> list[Record]:
    return [make_record() for _ in range(20)]


# -- topics --------------------------------------------------------------------------------------------------------------


def test_a_missing_topic_is_not_made_unless_the_url_says_of_how_many_partitions(kafka: Broker) -> None:
    topic = kafka.new_topic()
    with KafkaChest(kafka.url(topic, "")) as chest:
        for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(UnknownDatabase, match=f"no topic {topic}"):
                act()
    with KafkaChest(kafka.url(topic, "partitions=5")) as chest:
        chest.check()
        assert kafka.partitions(topic) == 0, "a check makes nothing"
        chest.write(records := [make_record() for _ in range(20)])
    assert kafka.partitions(topic) == 5
    with KafkaChest(kafka.url(topic, "partitions=7")) as chest:
        chest.write(more := [make_record()])
    assert kafka.partitions(topic) == 5, "one that is there stays as it is"
    assert sorted(kafka.records(topic)) == sorted([*records, *more])


# -- who may write, and over what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256"])
def test_a_log_in_that_is_refused_is_told_and_the_password_shown_nowhere(
    mechanism: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    password = quote(SECRET, safe="")
    with tansu("--authentication") as topics:
        url = f"kafka://ada:{password}@{topics.brokers}/shop?sasl={mechanism}&partitions=1&timeout_seconds=20"
        with KafkaChest(url) as chest:
            for act in (chest.check, lambda: chest.write([make_record()])):
                with pytest.raises(LoginRefused, match="log-in") as refusal:
                    act()
                told = f"{refusal.value} {refusal.value.__cause__} {chest!r} {caplog.text} {capfd.readouterr()}"
                assert "s3cr3t" not in told


def test_another_broker_takes_records_too() -> None:
    with tansu() as topics, KafkaChest(topics.new_url()) as chest:
        chest.write(records := [make_record() for _ in range(100)])
        assert sorted(topics.records(chest.name.rpartition("/")[2])) == sorted(records)


def test_over_tls_with_a_certificate_of_ones_own(kafka: Broker, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    topic = kafka.new_topic()
    with closing(KafkaProxy(kafka.port, context)) as proxy:
        url = f"kafka+ssl://{HOST}:{proxy.port}/{topic}?partitions=1&timeout_seconds=20"
        with KafkaChest(f"{url}&ca_file={certificate}") as chest:
            chest.write([record := make_record()])
        for query in ("", "&ca_file=/no/such/file"):
            with KafkaChest(url + query) as chest, pytest.raises(TLSRefused, match="ca_file"):
                chest.write([make_record()])
    assert kafka.records(topic) == [record]


def test_a_broker_that_hangs_up_instead_of_encrypting_is_told_from_one_that_is_gone() -> None:
    """librdkafka says one thing or the other, as the end of the connection comes early or late."""
    target = KafkaTarget.of("kafka+ssl://host")
    for said in ("SSL handshake failed: ...", "SSL connection closed by peer (after 0ms in state SSL_HANDSHAKE)"):
        assert isinstance(error_of(target, [KafkaError(KafkaError._TRANSPORT, said)]), TLSRefused)
    gone = KafkaError(KafkaError._TRANSPORT, "Disconnected (after 0ms in state UP)")
    assert not isinstance(error_of(target, [gone]), TLSRefused)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, its key beside it."""
    path = tmp_path_factory.mktemp("certificate") / "server.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
            "-addext", f"subjectAltName=IP:{HOST}", "-keyout", path.with_suffix(".key"), "-out", path,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path
