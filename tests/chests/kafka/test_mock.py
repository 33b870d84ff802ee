"""What the Kafka chest does when brokers fail: librdkafka's mock cluster fails as it is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from chest import Recorder
from chest.chests.batches import BatchWrite
from chest.chests.kafka.chest import KafkaChest
from chest.chests.kafka.producer import BatchProducer, KafkaMessage
from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable, LoginRefused, RecordRejected
from chest.record.record import Record
from tests.servers.kafka import quick_clients  # noqa: F401 - a fixture
from tests.servers.kafka.mock import INIT_PRODUCER_ID, PRODUCE, MockCluster, mock_cluster
from tests.support import make_record, wait_until

TOO_LARGE = 10
NOT_LEADER = 6
TOPIC_REFUSED, CLUSTER_REFUSED = 29, 31
INVALID_RECORD = 87


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        yield cluster


@pytest.fixture
def topic(cluster: MockCluster) -> Iterator[str]:
    """Of one partition."""
    yield cluster.create(1)
    cluster.heal()


@pytest.fixture
def chest(cluster: MockCluster, topic: str) -> Iterator[KafkaChest]:
    with KafkaChest(cluster.url(topic, "timeout_seconds=20")) as chest:
        yield chest


def _batch(count: int = 10) -> list[Record]:
    return [make_record() for _ in range(count)]


def _ids(records: list[Record]) -> list[str]:
    return sorted(record.id for record in records)


def test_a_record_is_a_message_with_its_id_as_key_and_says_what_it_is(
    cluster: MockCluster, topic: str, chest: KafkaChest
) -> None:
    record = make_record(service="shöp")
    chest.write([record])
    (message,) = cluster.messages(topic)
    assert message.key() == record.id.encode()
    assert dict(message.headers()) == {
        "content-type": b"application/json", "version": b"1", "service": "shöp".encode(),
    }  # fmt: skip
    assert cluster.records(topic) == [record]


def test_what_some_partitions_took_is_not_sent_again_with_the_rest(cluster: MockCluster) -> None:
    """Else each try of an outage of one broker of several would double what the others have."""
    topic = cluster.create(2, leader=1)
    with KafkaChest(cluster.url(topic, "timeout_seconds=3")) as chest:
        _write_until_taken(chest, first := _batch())
        cluster.stop(2)
        try:
            records = _batch(40)
            for _ in range(2):
                with pytest.raises(ChestUnavailable):
                    chest.write(records)
        finally:
            cluster.start(2)
        _write_until_taken(chest, records)
        assert {message.partition() for message in cluster.messages(topic)} == {0, 1}
        assert _ids(cluster.records(topic)) == _ids([*first, *records])
        chest.write(records)
        assert len(cluster.records(topic)) == 10 + 2 * 40, "what came again after it was taken is new"


def test_nothing_is_sent_behind_the_back_of_a_batch_that_failed(
    cluster: MockCluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KafkaTarget, "_timeout_ms", lambda target: 60_000)  # the producer's own patience
    with KafkaChest(cluster.url(topic, "timeout_seconds=2")) as chest:
        _until_well(chest.open)
        for broker in (1, 2, 3):
            cluster.stop(broker)
        try:
            with pytest.raises(ChestUnavailable):
                chest.write(records := _batch())
        finally:
            for broker in (1, 2, 3):
                cluster.start(broker)
        other = make_record()
        with KafkaChest(cluster.url(topic)) as another:
            _write_until_taken(another, [other])
            time.sleep(1.0)  # ten times as long as a producer that lived on would wait before it connects again
            assert _ids(cluster.records(topic)) == [other.id]
        _write_until_taken(chest, records)
    assert _ids(cluster.records(topic)) == _ids([*records, other])


def test_a_leader_that_moves_is_followed_within_a_write(cluster: MockCluster, topic: str, chest: KafkaChest) -> None:
    cluster.fail(PRODUCE, NOT_LEADER, NOT_LEADER)
    chest.write(records := _batch())
    assert _ids(cluster.records(topic)) == _ids(records)


@pytest.mark.parametrize("code", [TOO_LARGE, INVALID_RECORD])
def test_of_a_batch_that_a_broker_refuses_the_record_to_blame_is_named_and_the_others_are_stored_once(
    cluster: MockCluster, topic: str, chest: KafkaChest, code: int
) -> None:
    records = _batch(3)
    cluster.fail(PRODUCE, code, 0, code, 0)
    refused: list[str] = []
    for result in BatchWrite(records, lambda record: record.id).results(chest.write):
        if result.refusal is not None:
            refused += [record.id for record in result.records]
    assert refused == [records[1].id]
    assert _ids(cluster.records(topic)) == _ids([records[0], records[2]])


def test_a_topic_that_refuses_every_record_makes_them_wait(cluster: MockCluster, topic: str, chest: KafkaChest) -> None:
    cluster.fail(PRODUCE, *[INVALID_RECORD] * 4)
    with pytest.raises(ChestUnavailable, match="refuses every record"):
        chest.write(records := _batch(3))
    chest.write(records)
    assert _ids(cluster.records(topic)) == _ids(records)


def test_records_that_are_all_too_large_for_the_topic_are_named(
    cluster: MockCluster, topic: str, chest: KafkaChest
) -> None:
    """Else they would wait for ever: each is refused alone as well, and no other is stored."""
    cluster.fail(PRODUCE, TOO_LARGE, TOO_LARGE, INVALID_RECORD, TOO_LARGE)
    with pytest.raises(RecordRejected, match="large") as refusal:
        chest.write(records := _batch(3))
    assert refusal.value.ids == (records[0].id, records[2].id)
    chest.write([records[1]])
    assert cluster.records(topic) == [records[1]]


def test_a_record_that_is_too_long_is_named_before_anything_is_sent(cluster: MockCluster, topic: str) -> None:
    with KafkaChest(cluster.url(topic, "message_max_bytes=5000")) as chest:
        long, fits = make_record(variables={"text": "x" * 5000}), make_record(variables={"text": "x" * 4000})
        with pytest.raises(RecordRejected, match=r"message_max_bytes= allows 5,000") as refusal:
            chest.write([long, fits])
        assert refusal.value.ids == (long.id,)
        chest.write([fits])
    assert cluster.records(topic) == [fits]


def test_the_longest_record_that_is_let_through_is_taken(cluster: MockCluster, topic: str) -> None:
    """What is reckoned here is not less than what librdkafka reckons."""
    with KafkaChest(cluster.url(topic, "message_max_bytes=5000&compression=none")) as chest:
        taken, reasons = 0, set()
        for length in range(4000, 5000, 10):
            try:
                chest.write([make_record(variables={"text": "x" * length})])
                taken += 1
            except RecordRejected as refusal:
                reasons.add("?message_max_bytes=" in str(refusal))
    assert 0 < taken < 100
    assert reasons == {True}, "librdkafka refused one"


@pytest.mark.parametrize("fields", [{"variables": {"x": {1, 2}}}, {"service": "\ud800"}, {"id": "\ud800"}])
def test_a_record_that_is_not_json_is_named(chest: KafkaChest, fields: dict[str, Any]) -> None:
    bad = make_record(**fields)
    with pytest.raises(RecordRejected) as refusal:
        chest.write([make_record(), bad])
    assert refusal.value.ids == (bad.id,)


@pytest.mark.parametrize(("request_kind", "code"), [(PRODUCE, TOPIC_REFUSED), (INIT_PRODUCER_ID, CLUSTER_REFUSED)])
def test_a_missing_right_is_told(cluster: MockCluster, topic: str, request_kind: int, code: int) -> None:
    cluster.fail(request_kind, *[code] * 20)
    with KafkaChest(cluster.url(topic, "timeout_seconds=30")) as chest:
        with pytest.raises(LoginRefused, match="Write"):
            chest.write(records := _batch())
        cluster.heal()
        _write_until_taken(chest, records)
    assert _ids(cluster.records(topic)) == _ids(records)


def test_an_error_for_good_that_comes_with_a_report_is_told_too() -> None:
    """The client reports a message with that exception set, so Python makes a SystemError of it, perhaps within the report."""
    fatal = KafkaError(CLUSTER_REFUSED, "no", fatal=True)

    class Unreadable:
        def key(self) -> bytes:
            raise SystemError from KafkaException(fatal)

    class Refused:
        def produce(self, *_: object, on_delivery: Any, **__: object) -> None:
            self.report = on_delivery

        def purge(self, **_: object) -> None: ...
        def poll(self, _: float) -> None:
            self.report(fatal, Unreadable())

        def __len__(self) -> int:
            return 0

    producer = BatchProducer(KafkaTarget.of("kafka://127.0.0.1:1/shop"))
    handle: Any = producer._handle
    client, handle._client = handle._client, Refused()
    failed = producer.send([KafkaMessage("id", b"{}", [])], time.monotonic() + 5)
    handle._client = client
    assert (list(failed), producer.errors, producer.is_usable) == (["id"], [fatal], False)
    producer.close()


def test_lines_of_librdkafka_go_to_the_log_and_not_to_standard_error(
    cluster: MockCluster, topic: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with KafkaChest(cluster.url(topic, "timeout_seconds=2")) as chest:
        _until_well(chest.open)
        for broker in (1, 2, 3):
            cluster.stop(broker)
        try:
            with pytest.raises(ChestUnavailable):
                chest.write(_batch())
        finally:
            for broker in (1, 2, 3):
                cluster.start(broker)
    lines = [record for record in caplog.records if record.name == "chest.chests.kafka"]
    assert any("refused" in line.getMessage() for line in lines)
    assert {line.levelno for line in lines} == {logging.DEBUG}
    assert capfd.readouterr().err == ""


def test_an_idle_producer_is_asked_for_its_reports_so_that_none_pile_up_in_an_outage(
    cluster: MockCluster, topic: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    caplog.set_level(logging.DEBUG)
    with Recorder([KafkaChest(cluster.url(topic))], directory=tmp_path) as recorder:
        recorder.offer(make_record())
        assert recorder.flush(60)
        for broker in (1, 2, 3):
            cluster.stop(broker)
        try:
            caplog.clear()
            wait_until(lambda: any(record.name == "chest.chests.kafka" for record in caplog.records))
        finally:
            for broker in (1, 2, 3):
                cluster.start(broker)
    assert "failed_writes" not in recorder.stats()


def test_a_producer_that_cannot_recover_ends_when_it_says_so_to_the_chest_that_tends_it(
    cluster: MockCluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next batch would not hear of it: what is reported is heard once."""
    with KafkaChest(cluster.url(topic)) as chest:
        _write_until_taken(chest, first := _batch())
        fatal = KafkaError(CLUSTER_REFUSED, "no", fatal=True)
        (producer,) = chest._producers.values()
        monkeypatch.setattr(BatchProducer, "take_reports", lambda each: each._handle.errors.append(fatal))
        chest.tend()
        monkeypatch.undo()
        assert not chest._producers
        chest.tend()
        _write_until_taken(chest, second := _batch())
        assert producer not in chest._producers.values()
    assert _ids(cluster.records(topic)) == _ids([*first, *second])


def _write_until_taken(chest: KafkaChest, records: list[Record]) -> None:
    _until_well(lambda: chest.write(records))


def _until_well(act: Callable[[], object]) -> None:
    """Act until the chest can."""

    def is_done() -> bool:
        try:
            act()
        except ChestUnavailable:
            return False
        return True

    wait_until(is_done)
