"""How long the Kafka chest waits at most: for other threads, for brokers that are slow, and for a client that ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from chest.chests.kafka.chest import KafkaChest
from chest.chests.kafka.handle import OwnHandle
from chest.chests.kafka.producer import BatchProducer, KafkaMessage
from chest.chests.kafka.reader import Consumers
from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable, LoginRefused
from tests.servers.kafka.mock import OFFSET_COMMIT, MockCluster, mock_cluster
from tests.support import make_record


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    """Of one broker."""
    with mock_cluster(1) as cluster:
        yield cluster
        cluster.delay(1, 0)


def test_threads_write_one_after_the_other_and_wait_for_each_other_only_as_long_as_said(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that fails ends the producer, with all that other threads had in it."""
    sending, may_end, ended = threading.Event(), threading.Event(), []
    send = BatchProducer.send

    def slow_send(self: BatchProducer, messages: Sequence[KafkaMessage], deadline: float) -> Any:
        if not sending.is_set():
            sending.set()
            may_end.wait(60)
        return send(self, messages, deadline)

    monkeypatch.setattr(BatchProducer, "send", slow_send)
    topic = cluster.create(1)
    records = [make_record(), make_record()]
    with KafkaChest(cluster.url(topic, "timeout_seconds=120")) as chest:
        first = threading.Thread(target=lambda: ended.append(chest.write(records[:1])))
        first.start()
        assert sending.wait(60)
        chest._target = chest._target._replace(timeout_seconds=0.1)
        for act in (lambda: chest.write(records[1:]), chest.open, chest.close):
            with pytest.raises(ChestUnavailable, match="another thread"):
                act()
        may_end.set()
        first.join(120)
        assert ended == [None]
        chest._target = chest._target._replace(timeout_seconds=60)
        chest.write(records[1:])
    assert cluster.records(topic) == records


def test_a_client_that_takes_long_to_end_holds_nobody_up() -> None:
    """Its threads wait for the name server as long as the system says."""
    may_end, ended_in = threading.Event(), []

    class Slow:
        def __init__(self, settings: object, logger: object) -> None: ...

        def __del__(self) -> None:
            assert may_end.wait(60)
            ended_in.append(threading.get_ident())
            has_ended.set()

    has_ended = threading.Event()
    handle = OwnHandle(KafkaTarget.of("kafka://host"), Slow, {})
    left_with: list[Slow] = []
    has_left = handle.release(lambda client: left_with.append(type(client)))
    has_left.wait(60)
    assert left_with == [Slow]
    handle.release()
    may_end.set()
    assert has_ended.wait(60)
    assert ended_in != [threading.get_ident()]


def test_all_that_a_reader_asks_for_has_one_deadline(cluster: MockCluster) -> None:
    topic = cluster.create(8)
    with KafkaChest(cluster.url(topic, "timeout_seconds=2")) as stream:
        reader = stream.reader("any")
        assert reader.pending() == 0
        cluster.delay(1, 800)
        with pytest.raises(ChestUnavailable):
            reader.pending()


def test_a_commit_that_is_not_answered_and_the_good_bye_are_waited_for_only_as_long_as_said(
    cluster: MockCluster,
) -> None:
    topic = cluster.create(1)
    with KafkaChest(cluster.url(topic, "timeout_seconds=20")) as stream:
        stream.write([make_record() for _ in range(10)])
        reader = stream.reader("any")
        received = reader.receive(10)
        assert len(received.records) == 10
        assert reader._consumer is not None
        reader._consumer._target = reader._consumer._target._replace(timeout_seconds=0.5)
        cluster.delay(1, 15_000)
        raised: list[BaseException] = []

        def acknowledge() -> None:
            try:
                reader.acknowledge(received)
            except ChestUnavailable as error:
                raised.append(error)

        thread = threading.Thread(target=acknowledge)
        thread.start()
        thread.join(8)
        assert not thread.is_alive(), "it waits for the broker"
        assert raised
        cluster.delay(1, 0)


def test_what_was_given_up_cannot_be_acknowledged(cluster: MockCluster) -> None:
    topic = cluster.create(1)
    with KafkaChest(cluster.url(topic, "timeout_seconds=20")) as stream:
        stream.write([make_record() for _ in range(10)])
        reader = stream.reader("any")
        noted, received = reader.receive(5), reader.receive(10)
        reader.acknowledge(noted)
        cluster.fail(OFFSET_COMMIT, 30)
        with pytest.raises(LoginRefused):
            reader.acknowledge(received)
        with pytest.raises(ChestUnavailable, match="left its group"):
            reader.acknowledge(received)
        reader.acknowledge(noted)


def test_an_idle_consumer_is_given_to_one_reader_only() -> None:
    consumers, target = Consumers(), KafkaTarget.of("kafka://127.0.0.1:1/shop")
    taken: list[object] = []

    class Idle:
        """Asked whether it is of this process, it is taken by another thread."""

        @property
        def is_ours(self) -> bool:
            if not taken:
                taken.append(None)
                taken[0] = consumers.take(target, "any")
            return True

    idle: Any = Idle()
    consumers.give_back("any", idle)
    other = consumers.take(target, "any")
    assert taken == [idle]
    assert other is not idle
    other.close()
