"""Records go from a stream of NATS to a chest, each once, whatever ends in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest, Received, StreamChest
from chest.chests.memory import MemoryChest
from chest.chests.nats.chest import NatsChest
from chest.chests.nats.reader import NatsReader
from chest.chests.registry import open_chest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch, SettingsError
from chest.record.encoding import encode
from chest.record.record import Outcome, Record
from chest.transfer import StreamTransfer, Transfer
from tests.processes import running_python
from tests.servers.clickhouse import ClickHouse
from tests.servers.fault_proxy import Fault, fault_proxy
from tests.servers.nats import Nats
from tests.support import make_record, wait_until


@pytest.fixture
def stream(nats: Nats) -> str:
    """The name of an empty stream."""
    name = nats.new_stream()
    with open_chest(nats.url(name)) as chest:
        chest.open()
    return name


def _fill(nats: Nats, stream: str, count: int = 10) -> list[Record]:
    records = [make_record(variables={"place": place}) for place in range(count)]
    with open_chest(nats.url(stream)) as chest:
        chest.write(records)
    return records


def _impatient_consumer(nats: Nats, stream: str, name: str) -> None:
    """As an operator may make it: what is not acknowledged within half a second is given again."""
    config = {"durable_name": name, "ack_policy": "explicit", "ack_wait": 5 * 10**8, "max_ack_pending": 10_000}
    nats.ask(stream, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})


class Batches(MemoryChest):
    """A target that knows no ``id`` and keeps the batches, and fails as it is told."""

    is_idempotent = False

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.fails_at: set[int] = set()

    def write(self, records: Sequence[Record]) -> None:
        self.batches.append([record.id for record in records])
        if len(self.batches) in self.fails_at:
            raise ChestUnavailable("memory:batches: is down")


def test_everything_arrives_in_its_order_and_once(nats: Nats, stream: str) -> None:
    records, target = _fill(nats, stream, 25), MemoryChest()
    transfer = StreamTransfer(nats.url(stream), target, batch_records=10)
    assert transfer.estimate() == 25
    assert transfer.run(dry_run=True).read == 25
    assert target.records == []
    result = transfer.run()
    assert (result.read, result.written, result.is_complete) == (25, 25, True)
    assert target.records == records
    assert transfer.run().read == 0
    more = _fill(nats, stream, 5)
    assert transfer.run().written == 5
    assert target.records == records + more


def test_another_name_gets_everything_again_and_the_same_name_shares(nats: Nats, stream: str) -> None:
    records = _fill(nats, stream, 40)
    one, two = MemoryChest(), MemoryChest()
    first = StreamTransfer(nats.url(stream), one, name="shared name", limit=15)
    second = StreamTransfer(nats.url(stream), two, name="shared name")
    assert first.run().is_complete is False
    assert second.run().is_complete is True
    assert one.records + two.records == records
    assert StreamTransfer(nats.url(stream), MemoryChest(), name="another").run().written == 40


def test_two_transfers_at_once_take_each_record_once(nats: Nats, stream: str) -> None:
    records, both_have_some = _fill(nats, stream, 1000), threading.Barrier(2, timeout=60)
    targets = [MemoryChest(), MemoryChest()]

    def run(target: MemoryChest) -> None:
        seen: list[Record] = []

        def wait_once(record: Record) -> Record:
            if not seen:
                both_have_some.wait()
            seen.append(record)
            return record

        StreamTransfer(nats.url(stream), target, name="shared", batch_records=50, map=wait_once).run()

    threads = [threading.Thread(target=run, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    taken = [record.id for target in targets for record in target.records]
    assert sorted(taken) == sorted(record.id for record in records)
    assert all(target.records for target in targets)


def test_what_a_target_that_failed_did_not_take_is_given_again_at_once_and_as_the_same_batch(
    nats: Nats, stream: str
) -> None:
    records, target = _fill(nats, stream, 10), Batches()
    transfer = StreamTransfer(nats.url(stream), target, batch_records=100)
    target.fails_at = {1}
    with pytest.raises(ChestUnavailable):
        transfer.run()
    more = _fill(nats, stream, 10)
    assert transfer.run().written == 20
    first, second = [record.id for record in records], [record.id for record in more]
    assert target.batches == [first, first, second]


def test_a_transfer_that_is_killed_before_it_acknowledges_loses_and_doubles_nothing(
    nats: Nats, stream: str, tmp_path: Path
) -> None:
    records = _fill(nats, stream, 300)
    _impatient_consumer(nats, stream, "shop")
    target = f"sqlite:///{tmp_path}/target.sqlite3"
    program = """
        import os, signal, sys
        from chest.chests.nats.reader import NatsReader
        from chest.transfer import StreamTransfer
        acknowledge, calls = NatsReader.acknowledge, []
        def killed(self, received):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            acknowledge(self, received)
        NatsReader.acknowledge = killed
        StreamTransfer(sys.argv[1], sys.argv[2], name="shop", batch_records=100).run()
    """
    with running_python(program, nats.url(stream), target) as run:
        assert run.wait(60) == -signal.SIGKILL
    transfer = StreamTransfer(nats.url(stream), target, name="shop", batch_records=100)
    again = 0

    def is_done() -> bool:
        nonlocal again
        result = transfer.run()
        again += result.read
        return result.is_complete

    wait_until(is_done, 60)
    assert again >= 200, "what was stored and not acknowledged came again"
    with SQLiteChest(target) as chest:
        assert sorted(stored.record for stored in chest.read(limit=1000)) == sorted(records)


def test_a_batch_that_clickhouse_has_and_the_stream_does_not_know_of_is_stored_once(
    nats: Nats, stream: str, clickhouse: ClickHouse
) -> None:
    """ClickHouse tells batches, and not records: what is given again has to be cut as it was."""
    records = _fill(nats, stream, 250)
    target = clickhouse.new_url()

    def transfer(chest: NatsChest) -> StreamTransfer:
        return StreamTransfer(chest, target, name="shop", batch_records=100)

    with NatsChest(nats.url(stream)) as chest:
        with pytest.raises(ChestUnavailable, match="is away"):  # after the last, shorter one was stored
            transfer(_Interrupted(nats.url(stream), at=3)).run()
        more = _fill(nats, stream, 250)
        assert transfer(chest).run().read == 300
    with open_chest(target) as stored:
        assert isinstance(stored, ReadableChest)
        ids = [each.record.id for each in stored.read(limit=1000)]
    assert sorted(ids) == sorted(record.id for record in records + more)


class _Interrupted(NatsChest):
    """Its reader cannot acknowledge once."""

    def __init__(self, url: str, at: int) -> None:
        super().__init__(url)
        self.left = at

    def reader(self, name: str) -> NatsReader:
        reader, acknowledge = super().reader(name), NatsReader.acknowledge

        def interrupted(received: Received) -> None:
            self.left -= 1
            if not self.left:
                raise ChestUnavailable("nats: is away")
            acknowledge(reader, received)

        reader.acknowledge = interrupted  # type: ignore[method-assign]
        return reader


def test_an_acknowledgement_whose_answer_is_lost_doubles_nothing(nats: Nats, stream: str, tmp_path: Path) -> None:
    records = _fill(nats, stream, 50)
    _impatient_consumer(nats, stream, "shop")
    with fault_proxy(nats.port) as proxy, SQLiteChest(f"sqlite:///{tmp_path}/target.sqlite3") as target:
        transfer = StreamTransfer(nats.url(stream, port=proxy.port), target, name="shop")
        proxy.set(Fault.REPLY_LOST, b"+ACK")
        with pytest.raises(ChestUnavailable):
            transfer.run()
        assert proxy.cuts == 1
        wait_until(lambda: transfer.run().is_complete, 60)
        assert [stored.record for stored in target.read(limit=1000)] == records


def test_runs_one_after_the_other_share_a_connection(nats: Nats, stream: str) -> None:
    """As one that is followed makes them, each second."""
    with fault_proxy(nats.port) as proxy, NatsChest(nats.url(stream, port=proxy.port)) as chest:
        target = MemoryChest()
        transfer = StreamTransfer(chest, target)
        for _ in range(4):
            chest.write([make_record()])
            assert transfer.run().written == 1
            assert proxy.connections == 1
    assert len(target.records) == 4


def test_a_message_that_is_no_record_is_passed_over_and_told(
    nats: Nats, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = _fill(nats, stream, 3)
    damaged = encode(make_record()._replace(path=None)._asdict())  # type: ignore[arg-type]
    for payload in (b"no json", b"[1]", b"{}", b'"text"', damaged, b"\xff"):
        nats.publish(stream, payload)
    second, target = _fill(nats, stream, 3), MemoryChest()
    transfer = StreamTransfer(nats.url(stream), target, batch_records=4)
    result = transfer.run()
    assert (result.read, result.written, result.unreadable, result.is_complete) == (6, 6, 6, True)
    assert target.records == first + second
    assert "the first is 4 of the stream" in caplog.text
    assert transfer.run().unreadable == 0


def test_a_record_of_an_older_or_a_newer_release_is_read(nats: Nats, stream: str) -> None:
    record = make_record()
    fields = record._asdict()
    nats.publish(stream, encode({**fields, "version": 9, "of_a_later_release": 1}))
    nats.publish(stream, encode({name: fields[name] for name in fields if name != "host"}))
    target = Batches()
    assert StreamTransfer(nats.url(stream), target).run().written == 2
    assert target.batches == [[record.id, record.id]]


def test_the_record_that_replaces_the_note_of_a_killed_request_is_not_dropped(nats: Nats, stream: str) -> None:
    record = make_record()
    with open_chest(nats.url(stream)) as chest:
        chest.write([record._replace(outcome=Outcome.KILLED)])
        chest.write([record])
        chest.write([record, record._replace(outcome=Outcome.KILLED)])
    target = MemoryChest()
    StreamTransfer(nats.url(stream), target).run()
    assert target.records == [record]
    assert len(nats.payloads(stream)) == 2


def test_what_the_target_refuses_is_told_and_then_acknowledged(
    nats: Nats, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Refuses(MemoryChest):
        def write(self, records: Sequence[Record]) -> None:
            bad = [record.id for record in records if record.variables["place"] == 2]
            if bad:
                raise RecordRejected("memory: too large", bad)
            super().write(records)

    records, told = _fill(nats, stream, 5), []
    target = Refuses()
    result = StreamTransfer(
        nats.url(stream), target, name="one", reject=lambda record, why: told.append((record, why))
    ).run()
    assert (result.written, result.rejected, result.is_complete) == (4, 1, True)
    assert told == [(records[2], "memory: too large")]
    StreamTransfer(nats.url(stream), Refuses(), name="two").run()
    assert f"refused record {records[2].id} for good" in caplog.text

    def cannot_keep(record: Record, why: str) -> None:
        raise OSError("no room")

    third = StreamTransfer(nats.url(stream), Refuses(), name="three", reject=cannot_keep)
    with pytest.raises(OSError, match="no room"):
        third.run()
    assert third.estimate() == 5, "nothing was acknowledged"


def test_records_may_be_changed_or_left_out_on_the_way(nats: Nats, stream: str) -> None:
    _fill(nats, stream, 4)

    def change(record: Record) -> Record | None:
        return record._replace(path="/changed") if record.variables["place"] % 2 else None

    target = MemoryChest()
    result = StreamTransfer(nats.url(stream), target, map=change).run()
    assert (result.read, result.written) == (4, 2)
    assert [record.path for record in target.records] == ["/changed", "/changed"]


def test_chests_of_the_wrong_kind_are_refused_with_what_to_use(nats: Nats, stream: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no stream: use Transfer"):
        StreamTransfer(MemoryChest(), MemoryChest())
    with pytest.raises(SettingsError, match="StreamTransfer"):
        Transfer(NatsChest(nats.url(stream)), MemoryChest(), directory=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="source and target"):
        StreamTransfer(nats.url(stream), nats.url(stream))
    with pytest.raises(SettingsError, match="at least 1"):
        StreamTransfer(nats.url(stream), MemoryChest(), limit=0)


def test_a_server_that_is_too_busy_to_answer_in_time_is_asked_again(
    nats: Nats, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run would end as if there was nothing."""
    monkeypatch.setattr("chest.chests.nats.reader._SHORTEST_WAIT_SECONDS", 1e-9)
    _fill(nats, stream, 20)
    assert StreamTransfer(nats.url(stream), MemoryChest()).run().written == 20


def test_a_consumer_that_allows_few_unacknowledged_records_is_waited_for(nats: Nats, stream: str) -> None:
    """NATS's default is 1000, fewer than a batch has."""
    records, target = _fill(nats, stream, 20), MemoryChest()
    config = {"durable_name": "shop", "ack_policy": "explicit", "max_ack_pending": 5}
    nats.ask(stream, f"CONSUMER.CREATE.{stream}.shop", {"stream_name": stream, "config": config})
    transfer = StreamTransfer(nats.url(stream, query="timeout_seconds=20"), target, name="shop")
    begin = time.monotonic()
    assert transfer.run(wait_seconds=1).written == 20
    assert target.records == records
    assert time.monotonic() - begin < 15, "it waited once, when there was no more"
    _fill(nats, stream, 7)
    with NatsChest(nats.url(stream)) as chest, closing(chest.reader("shop")) as other:
        other.receive(5)
        result = transfer.run()
        assert (result.read, result.is_complete) == (0, False)
    assert transfer.run().written == 7


def test_a_consumer_that_acknowledges_otherwise_is_refused(nats: Nats, stream: str) -> None:
    config = {"durable_name": "shop", "ack_policy": "none"}
    nats.ask(stream, f"CONSUMER.CREATE.{stream}.shop", {"stream_name": stream, "config": config})
    with pytest.raises(SchemaMismatch, match="another name"):
        StreamTransfer(nats.url(stream), MemoryChest(), name="shop").run()


def test_a_consumer_that_gives_a_record_only_so_often_is_refused(nats: Nats, stream: str) -> None:
    """While the target is down it would give each up."""
    config = {"durable_name": "shop", "ack_policy": "explicit", "max_deliver": 5}
    nats.ask(stream, f"CONSUMER.CREATE.{stream}.shop", {"stream_name": stream, "config": config})
    transfer = StreamTransfer(nats.url(stream), MemoryChest(), name="shop")
    with pytest.raises(SchemaMismatch, match=rf"5 times only.* nats consumer edit {stream} shop --max-deliver=-1"):
        transfer.run()
    nats.ask(stream, f"CONSUMER.CREATE.{stream}.shop", {"stream_name": stream, "config": config | {"max_deliver": -1}})
    assert transfer.run().read == 0


def test_a_stream_that_is_not_there_is_told(nats: Nats) -> None:
    with pytest.raises(ChestUnavailable, match="stream not found"):
        StreamTransfer(nats.new_url(), MemoryChest()).run()


def test_a_reader_waits_for_the_first_record_and_returns_with_it(nats: Nats, stream: str) -> None:
    chest = open_chest(nats.url(stream))
    assert isinstance(chest, StreamChest)
    reader = chest.reader("waiting")
    assert reader.receive(10, 0.05).records == []
    pid = os.fork()
    if pid == 0:
        try:
            _fill(nats, stream, 1)
        finally:
            os._exit(0)
    received = reader.receive(10, 60)
    os.waitpid(pid, 0)
    assert len(received.records) == 1
    assert reader.pending() == 1
    reader.acknowledge(received)
    assert reader.pending() == 0
    reader.close()
    reader.close()
    chest.close()
