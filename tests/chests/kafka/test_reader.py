"""Records go from a topic of Kafka to a chest, each once, whatever ends in between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chest.chests.kafka.chest import KafkaChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, LoginRefused, UnknownDatabase
from chest.record.encoding import encode
from chest.record.record import Record
from chest.transfer import StreamTransfer
from tests.processes import run_python, running_python
from tests.servers.kafka import Broker, Topics, quick_clients  # noqa: F401 - a fixture
from tests.servers.kafka.mock import OFFSET_COMMIT, mock_cluster
from tests.support import make_record, wait_until


@pytest.fixture
def topic(kafka: Broker) -> str:
    """An empty one of four partitions."""
    topic = kafka.new_topic()
    with open_chest(kafka.url(topic, "partitions=4")) as chest:
        chest.open()
    return topic


@pytest.fixture
def stream(kafka: Broker, topic: str) -> Iterator[KafkaChest]:
    """One for all transfers of the test: its consumers stay in their groups."""
    with KafkaChest(kafka.url(topic, "")) as stream:
        yield stream


@pytest.fixture
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock cluster has a group that lost its only member wait for the session's time, also if the member said good-bye."""
    monkeypatch.setattr("chest.chests.kafka.url.SESSION_SECONDS", 2.0)


def _fill(topics: Topics, topic: str, count: int = 10) -> list[Record]:
    records = [make_record(variables={"place": place}) for place in range(count)]
    with open_chest(topics.url(topic, "")) as chest:
        chest.write(records)
    return records


def _ids(records: Sequence[Record]) -> list[str]:
    return sorted(record.id for record in records)


class Failing(MemoryChest):
    """A target that knows no ``id``, and is down as often as it is told."""

    is_idempotent = False
    failures = 0

    def write(self, records: Sequence[Record]) -> None:
        if self.failures:
            self.failures -= 1
            raise ChestUnavailable("memory: is down")
        super().write(records)


def test_everything_arrives_once_and_the_next_run_takes_what_is_new(
    kafka: Broker, topic: str, stream: KafkaChest
) -> None:
    records, target = _fill(kafka, topic, 250), MemoryChest()
    transfer = StreamTransfer(stream, target, batch_records=100)
    assert transfer.estimate() == 250
    assert transfer.run(dry_run=True).read == 250
    assert target.records == []
    result = transfer.run()
    assert (result.read, result.written, result.is_complete) == (250, 250, True)
    assert _ids(target.records) == _ids(records)
    assert transfer.estimate() == 0
    assert transfer.run().read == 0
    more = _fill(kafka, topic, 5)
    wait_until(lambda: transfer.run(wait_seconds=0.2).written or len(target.records) == 255)
    assert _ids(target.records) == _ids([*records, *more])


def test_another_name_gets_everything_again_and_the_same_name_goes_on(
    kafka: Broker, topic: str, stream: KafkaChest
) -> None:
    records = _fill(kafka, topic, 40)
    one, two, again = MemoryChest(), MemoryChest(), MemoryChest()
    assert StreamTransfer(stream, one, name="shared name", limit=15).run().is_complete is False
    assert StreamTransfer(stream, two, name="shared name").run().is_complete is True
    assert _ids(one.records + two.records) == _ids(records)
    assert StreamTransfer(stream, again, name="another").run().written == 40


def test_two_transfers_at_once_take_each_record_once(kafka: Broker, topic: str) -> None:
    readers = [KafkaChest(kafka.url(topic, "group=shared")) for _ in range(2)]
    targets = [MemoryChest(), MemoryChest()]
    is_over = threading.Event()

    def follow(place: int) -> None:
        transfer = StreamTransfer(readers[place], targets[place], name=f"name {place}")
        while not is_over.is_set():
            try:
                transfer.run(stop=is_over.is_set, wait_seconds=0.2)
            except ChestUnavailable:  # its partitions went to the other one
                continue

    threads = [threading.Thread(target=follow, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    try:
        records: list[Record] = []

        def have_both() -> bool:
            records.extend(_fill(kafka, topic, 20))
            return all(target.records for target in targets)

        wait_until(have_both)
        wait_until(lambda: {r.id for t in targets for r in t.records} == {record.id for record in records})
    finally:
        is_over.set()
        for thread in threads:
            thread.join(60)
    for reader in readers:
        reader.close()
    assert len([r for t in targets for r in t.records]) <= len(records) + 20, "at most what was in hand came twice"


def test_what_a_target_that_failed_did_not_take_is_given_again(kafka: Broker, topic: str, stream: KafkaChest) -> None:
    records, target = _fill(kafka, topic, 30), Failing()
    target.failures = 1
    transfer = StreamTransfer(stream, target)
    with pytest.raises(ChestUnavailable, match="is down"):
        transfer.run()
    assert transfer.estimate() == 30
    assert transfer.run().written == 30
    assert _ids(target.records) == _ids(records)


def test_a_transfer_that_is_killed_before_it_acknowledges_loses_and_doubles_nothing(
    tmp_path: Path, short_session: None
) -> None:
    target = f"sqlite:///{tmp_path}/target.sqlite3"
    program = """
        import os, signal, sys
        import chest.chests.kafka.consumer, chest.chests.kafka.url
        chest.chests.kafka.url.SESSION_SECONDS = 2.0
        from chest.chests.kafka.reader import KafkaReader
        from chest.transfer import StreamTransfer
        acknowledge, calls = KafkaReader.acknowledge, []
        def killed(self, received):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            acknowledge(self, received)
        KafkaReader.acknowledge = killed
        StreamTransfer(sys.argv[1], sys.argv[2], batch_records=100).run()
    """
    with mock_cluster() as cluster:
        topic = cluster.create(4)
        records, url = _fill(cluster, topic, 300), cluster.url(topic, "group=killed")
        with running_python(program, url, target) as run:
            assert run.wait(60) == -signal.SIGKILL
        result = StreamTransfer(url, target).run()
    assert (result.read, result.is_complete) == (200, True), "what was stored and not acknowledged came again"
    with SQLiteChest(target) as chest:
        assert _ids([stored.record for stored in chest.read(limit=1000)]) == _ids(records)


def test_what_is_acknowledged_later_than_what_came_after_it_is_not_passed_over(kafka: Broker) -> None:
    topic = kafka.new_topic()
    url = kafka.url(topic, "partitions=1")
    with KafkaChest(url) as stream:
        stream.write([make_record() for _ in range(30)])
        reader = stream.reader("any")
        first, second = reader.receive(10), reader.receive(10)
        assert (len(first.records), len(second.records)) == (10, 10)
        reader.acknowledge(second)
        assert reader.pending() == 30
        reader.acknowledge(first)
        assert reader.pending() == 10
        reader.acknowledge(first)
        third = reader.receive(10)
        reader.close()
        again = stream.reader("any").receive(10)
        assert again.records == third.records


def test_a_commit_that_is_refused_doubles_nothing_in_a_target_that_knows_ids(
    tmp_path: Path, short_session: None
) -> None:
    with mock_cluster() as cluster, SQLiteChest(f"sqlite:///{tmp_path}/target.sqlite3") as target:
        topic = cluster.create(2)
        records = _fill(cluster, topic, 50)
        with KafkaChest(cluster.url(topic, "")) as stream:
            transfer = StreamTransfer(stream, target)
            cluster.fail(OFFSET_COMMIT, 30)
            with pytest.raises(LoginRefused, match="Read on its group"):
                transfer.run()
            result = transfer.run()
            assert (result.read, result.is_complete) == (50, True)
        assert _ids([stored.record for stored in target.read(limit=1000)]) == _ids(records)


def test_a_message_that_is_no_record_is_passed_over_and_told(kafka: Broker, caplog: pytest.LogCaptureFixture) -> None:
    topic = kafka.new_topic()
    record = make_record()
    fields = record._asdict()
    with KafkaChest(kafka.url(topic, "partitions=1")) as chest:
        chest.write([make_record()])
    damaged = encode({**fields, "path": None})
    kafka.publish(topic, b"no json", b"[1]", b"{}", b'"text"', damaged, b"\xff", None)
    old = make_record()
    older = encode({name: value for name, value in old._asdict().items() if name != "host"})
    kafka.publish(topic, encode({**fields, "version": 9, "of_a_later_release": 1}), older)
    target = Failing()
    with KafkaChest(kafka.url(topic, "")) as stream:
        transfer = StreamTransfer(stream, target, batch_records=4)
        result = transfer.run()
        assert (result.read, result.written, result.unreadable, result.is_complete) == (3, 3, 7, True)
        assert target.records[1:] == [record, old._replace(host="")]
        assert "messages are no records of Chest, and are passed over; the first is 1 of partition 0" in caplog.text
        assert transfer.run().unreadable == 0


def test_a_topic_that_is_not_there_is_told(kafka: Broker) -> None:
    url = kafka.url(kafka.new_topic(), "")
    with pytest.raises(UnknownDatabase, match="no topic"):
        StreamTransfer(url, MemoryChest()).run()
    with pytest.raises(UnknownDatabase, match="no topic"):
        StreamTransfer(url, MemoryChest()).estimate()


def test_a_reader_waits_for_the_first_record_and_returns_with_it(kafka: Broker, topic: str, stream: KafkaChest) -> None:
    reader = stream.reader("waiting")
    assert reader.receive(10, 0.05).records == []
    writer = threading.Thread(target=_fill, args=(kafka, topic, 1))
    writer.start()
    received = reader.receive(10, 60)
    writer.join(60)
    assert len(received.records) == 1
    reader.acknowledge(received)
    reader.close()
    reader.close()


def test_a_child_of_a_process_that_reads_ends_well_and_its_parent_goes_on(kafka: Broker, topic: str) -> None:
    _fill(kafka, topic, 10)
    code = """
        import os, sys
        from chest.chests import open_chest

        stream = open_chest(sys.argv[1])
        reader, idle = stream.reader("one"), stream.reader("two")
        idle.acknowledge(idle.receive(100))
        idle.close()
        received = reader.receive(100)
        if pid := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            reader.acknowledge(received)
            print(reader.pending())
        else:
            stream.close()
            print(len(stream.reader("three").receive(100).records))
    """
    assert run_python(code, kafka.url(topic, "")).split() == ["10", "0", "0"]


def test_the_command_follows_through_a_restart_of_the_broker_until_it_is_stopped(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    records, target = _fill(kafka, topic, 5), f"sqlite:///{tmp_path}/target.sqlite3"
    with SQLiteChest(target) as chest:
        chest.open()

    def stored() -> int:
        with SQLiteChest(target) as chest:
            return len(chest.read(limit=100))

    command = "from chest.cli.main import main; main()"
    arguments = ("transfer", kafka.url(topic, "timeout_seconds=3"), target, "--follow")
    state = str(tmp_path / "state")
    with running_python(command, *arguments, stderr=True, XDG_STATE_HOME=state) as process:
        wait_until(lambda: stored() == 5)
        kafka.server.stop()
        kafka.server.start()
        records += _fill(kafka, topic, 5)
        wait_until(lambda: stored() == 10)
        with KafkaChest(kafka.url(topic, "")) as stream:
            wait_until(lambda: stream.reader(target).pending() == 0)
        os.kill(process.pid, signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Records read: " in said
