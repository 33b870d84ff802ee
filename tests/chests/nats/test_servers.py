"""The NATS chest on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chest import Recorder
from chest.chests.batches import BatchWrite
from chest.chests.contract import Chest
from chest.chests.nats.chest import NatsChest
from chest.chests.registry import open_chest
from chest.cli.main import commands
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.record.record import VERSION, Outcome, Record
from chest.testing.contract import ChestContract
from chest.testing.stream_contract import StreamChestContract
from chest.transfer import Transfer
from tests.chests.server_contract import Place, ServerChestContract
from tests.servers.fault_proxy import Fault, fault_proxy
from tests.servers.nats import PASSWORD, Nats
from tests.support import lose_patience_soon, make_record, wait_until


@pytest.fixture
def url(nats: Nats) -> str:
    """Of a stream that is not there."""
    return nats.new_url()


@pytest.fixture
def chest(url: str) -> Iterator[NatsChest]:
    with NatsChest(url) as chest:
        yield chest


class TestContract(StreamChestContract):
    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[NatsChest]:
        with NatsChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, nats: Nats) -> str:
        self.nats, self.stream = nats, nats.new_stream()
        return nats.url(self.stream)

    def stored_records(self, chest: Chest) -> list[Record]:
        return self.nats.records(self.stream)  # also what is there twice in the stream


class TestContractOfWholeBatches(ChestContract):
    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[NatsChest]:
        with NatsChest(chest_url) as chest:
            yield chest

    @pytest.fixture
    def chest_url(self, nats: Nats) -> str:
        self.nats, self.stream = nats, nats.new_stream()
        return nats.url(self.stream, query="atomic=1")

    def stored_records(self, chest: Chest) -> list[Record]:
        return self.nats.records(self.stream)


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


# -- once ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "atomic=1"])
def test_answers_that_are_lost_for_long_lose_and_double_no_record(
    nats: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The batches wait on disk meanwhile, and the process that delivers them is another one."""
    lose_patience_soon(monkeypatch)
    stream, ids = nats.new_stream(), []
    with fault_proxy(nats.port) as proxy:
        url = nats.url(stream, port=proxy.port, query="&".join(filter(None, ("timeout_seconds=5", query))))
        options = {"directory": tmp_path, "flush_seconds": 0.05, "service": "shop", "batch_records": 300}
        recorder = Recorder([url], **options)
        recorder.prepare()
        for number in range(3):
            if number == 1:
                wait_until(lambda: sum(recorder.stats().get("written", {}).values()) == 500, 60)
                proxy.set(Fault.REPLY_LOST, b"NATS-MSG-ID")
            records = [make_record(recorder.request_side.record_ids) for _ in range(500)]
            assert all(map(recorder.offer, records))
            ids += [record.id for record in records]
            if number == 1:
                wait_until(lambda: proxy.cuts == 1, 60)
                proxy.set(Fault.REFUSE)
                wait_until(lambda: bool(recorder.stats().get("spooled")), 60)
        recorder.close(1)
        proxy.heal()
        with closing(Recorder([url], **options)) as second:
            second.prepare()
            wait_until(lambda: len(nats.payloads(stream)) >= len(ids), 60)  # from disk, or from the ring
        assert sorted(record.id for record in nats.records(stream)) == sorted(ids)


def test_what_comes_after_the_window_is_stored_again(nats: Nats) -> None:
    stream = nats.new_stream()
    with NatsChest(nats.url(stream, query="duplicate_window_seconds=1")) as chest:
        record = make_record()
        chest.write([record])
        chest.write([record])
        assert len(nats.payloads(stream)) == 1

        def is_forgotten() -> bool:
            chest.write([record])
            return len(nats.payloads(stream)) == 2

        wait_until(is_forgotten, 60)


def test_a_part_of_a_batch_that_is_there_does_not_keep_the_rest_out_of_whole_batches(nats: Nats) -> None:
    stream = nats.new_stream()
    records = [make_record() for _ in range(2500)]
    with NatsChest(nats.url(stream, query="atomic=1")) as chest:
        chest.write(records[700:800])
        chest.write(records)
    assert len(nats.payloads(stream)) == 2500


# -- the stream ------------------------------------------------------------------------------------------------------------


def _config(nats: Nats, stream: str) -> dict[str, Any]:
    found: Any = nats.ask(stream, f"STREAM.INFO.{stream}")
    return found["config"]


def _make(nats: Nats, stream: str, **config: object) -> None:
    usual = {"name": stream, "subjects": [f"{stream}.records"], "storage": "memory", "duplicate_window": 3600 * 10**9}
    nats.ask(stream, f"STREAM.CREATE.{stream}", usual | config)


def test_a_missing_stream_is_made_as_the_url_says(nats: Nats) -> None:
    stream = nats.new_stream()
    query = f"subject={stream}.a.b&duplicate_window_seconds=600&max_age_days=7"
    with NatsChest(nats.url(stream, query=query)) as chest:
        chest.check()
        chest.open()
        assert not chest.notices()
    config = _config(nats, stream)
    assert config["subjects"] == [f"{stream}.a.b"]
    assert (config["duplicate_window"], config["max_age"]) == (600 * 10**9, 7 * 86_400 * 10**9)
    assert (config["discard"], config["retention"], config["storage"]) == ("new", "limits", "file")


def test_checking_makes_no_stream(nats: Nats) -> None:
    stream = nats.new_stream()
    with NatsChest(nats.url(stream)) as chest:
        chest.check()
    with pytest.raises(ChestUnavailable, match="stream not found"):
        _config(nats, stream)


@pytest.mark.parametrize("pattern", ["{}.records", "{}.*", "{}.>"])
def test_a_stream_that_takes_the_subject_is_used_as_it_is(nats: Nats, pattern: str) -> None:
    stream = nats.new_stream()
    _make(nats, stream, subjects=[pattern.format(stream), f"{stream}_more"])
    with NatsChest(nats.url(stream)) as chest:
        chest.write([record := make_record()])
    assert nats.records(stream) == [record]
    assert _config(nats, stream)["subjects"] == [pattern.format(stream), f"{stream}_more"]


@pytest.mark.parametrize("pattern", ["{}", "{}.other", "*", "{}.records.>", "{}.records.x"])
def test_a_stream_that_does_not_take_the_subject_is_refused_with_the_command_to_run(nats: Nats, pattern: str) -> None:
    stream = nats.new_stream()
    subject = pattern.format(stream) if pattern != "*" else f"{stream}x.*"
    _make(nats, stream, subjects=[subject])
    with NatsChest(nats.url(stream)) as chest:
        for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(SchemaMismatch, match=rf"does not take the subject {stream}\.records"):
                act()


def test_a_subject_that_another_stream_takes_is_refused(nats: Nats) -> None:
    stream, other = nats.new_stream(), nats.new_stream()
    _make(nats, other, subjects=[f"{stream}.>"])
    with NatsChest(nats.url(stream)) as chest, pytest.raises(SchemaMismatch, match="overlap"):
        chest.open()


def test_a_stream_that_keeps_few_messages_of_a_subject_is_refused(nats: Nats) -> None:
    stream = nats.new_stream()
    _make(nats, stream, max_msgs_per_subject=1)
    with NatsChest(nats.url(stream)) as chest, pytest.raises(SchemaMismatch, match="1 messages of a subject"):
        chest.check()


def test_a_stream_that_does_not_answer_is_refused(nats: Nats) -> None:
    stream = nats.new_stream()
    _make(nats, stream, no_ack=True)
    with NatsChest(nats.url(stream)) as chest:
        for act in (chest.open, chest.check):
            with pytest.raises(SchemaMismatch, match="no_ack"):
                act()


def test_a_stream_that_forgets_ids_too_soon_is_told_at_the_start(nats: Nats, caplog: pytest.LogCaptureFixture) -> None:
    stream = nats.new_stream()
    _make(nats, stream, duplicate_window=120 * 10**9)
    with NatsChest(nats.url(stream)) as chest:
        chest.check()
        (notice,) = chest.notices()
        assert "remembers an id for 120 s only" in notice
        assert not caplog.records
        chest.open()
        chest.open()
    assert [record.getMessage() for record in caplog.records] == [f"chest: {chest.name}: {notice}"]
    with NatsChest(nats.url(stream, query="duplicate_window_seconds=120")) as chest:
        chest.open()
        assert not chest.notices()


def test_a_bound_that_removes_what_no_reader_has_taken_is_told(nats: Nats) -> None:
    stream = nats.new_stream()
    _make(nats, stream, max_bytes=10**6, discard="old")
    with NatsChest(nats.url(stream)) as chest:
        chest.check()
        (notice,) = chest.notices()
        assert "max_bytes" in notice
        assert "--discard=new" in notice


def test_a_stream_that_keeps_nothing_without_readers_is_told(nats: Nats) -> None:
    stream = nats.new_stream()
    _make(nats, stream, retention="interest")
    with NatsChest(nats.url(stream)) as chest:
        chest.check()
        (notice,) = chest.notices()
        assert "retention: interest" in notice


@pytest.mark.parametrize("query", ["", "atomic=1"])
def test_a_full_stream_makes_records_wait(nats: Nats, query: str) -> None:
    stream = nats.new_stream()
    _make(nats, stream, max_msgs=5, discard="new", allow_atomic=True)
    first, second = [make_record() for _ in range(5)], [make_record()]
    with NatsChest(nats.url(stream, query=query)) as chest:
        chest.write(first)
        with pytest.raises(ChestUnavailable, match="maximum messages exceeded"):
            chest.write(second)
        nats.ask(stream, f"STREAM.PURGE.{stream}")
        chest.write(second)
    assert nats.records(stream) == second


def test_a_stream_that_is_gone_is_made_again(nats: Nats) -> None:
    stream = nats.new_stream()
    with NatsChest(nats.url(stream)) as chest:
        chest.write([make_record()])
        nats.ask(stream, f"STREAM.DELETE.{stream}")
        with pytest.raises(ChestUnavailable, match="no stream takes"):
            chest.write([record := make_record()])
        chest.write([record])
    assert nats.records(stream) == [record]


# -- records ---------------------------------------------------------------------------------------------------------------


def test_a_record_larger_than_the_server_takes_is_refused_by_its_id_and_stores_none(nats: Nats) -> None:
    stream = nats.new_stream()
    records = [make_record(), make_record(variables={"text": "x" * (1 << 20)}), make_record()]
    with NatsChest(nats.url(stream)) as chest:
        with pytest.raises(RecordRejected, match="max_payload") as refusal:
            chest.write(records)
        assert refusal.value.ids == (records[1].id,)
        assert nats.records(stream) == []
        just = make_record(variables={"text": "x" * ((1 << 20) - 1200)})
        chest.write([records[0], just])
    assert nats.records(stream) == [records[0], just]


@pytest.mark.parametrize("query", ["", "atomic=1"])
def test_a_record_larger_than_the_stream_takes_is_refused_by_its_id(nats: Nats, query: str) -> None:
    stream = nats.new_stream()
    _make(nats, stream, max_msg_size=4096, allow_atomic=True)
    records = [make_record(variables={"text": "x" * 10_000 * (place == 5)}) for place in range(12)]
    with NatsChest(nats.url(stream, query=query)) as chest:
        results = list(BatchWrite(records, attrgetter("id")).results(chest.write))
    refused = [record for result in results if result.refusal for record in result.records]
    assert refused == [records[5]]
    assert nats.records(stream) == [record for record in records if record is not records[5]]


def test_the_note_of_a_killed_request_that_is_too_large_is_refused_by_its_id(nats: Nats) -> None:
    stream = nats.new_stream()
    _make(nats, stream, max_msg_size=4096)
    note = make_record(outcome=Outcome.KILLED, variables={"text": "x" * 10_000})
    with NatsChest(nats.url(stream)) as chest, pytest.raises(RecordRejected) as refusal:
        chest.write([make_record(), note])
    assert refusal.value.ids == (note.id,)


@pytest.mark.parametrize("identity", ["a b", "a\r\nNats-Rollup: all", "ä", "a\tb", "\x85"])
def test_an_id_that_a_header_cannot_hold_tells_the_record_all_the_same(nats: Nats, identity: str) -> None:
    stream = nats.new_stream()
    records = [make_record(), make_record(id=identity), make_record(id=identity + "x")]
    with NatsChest(nats.url(stream)) as chest:
        chest.write(records)
        chest.write(records)
    assert nats.records(stream) == records


def test_a_value_that_is_no_json_is_refused_by_its_id(nats: Nats) -> None:
    records = [make_record(), make_record(variables={"what": object()})]
    with NatsChest(nats.new_url()) as chest, pytest.raises(RecordRejected) as refusal:
        chest.write(records)
    assert refusal.value.ids == (records[1].id,)


def test_a_message_is_the_line_of_an_ndjson_file(nats: Nats) -> None:
    stream = nats.new_stream()
    with NatsChest(nats.url(stream)) as chest:
        chest.write([record := make_record(variables={"plan": "pro"})])
    (payload,) = nats.payloads(stream)
    assert json.loads(payload) == {**record._asdict(), "version": VERSION}


def test_stored_records_are_transferred_into_it(nats: Nats, tmp_path: Path) -> None:
    records, stream = [make_record(variables={"number": number}) for number in range(300)], nats.new_stream()
    source = f"sqlite:///{tmp_path}/source.sqlite3"
    with open_chest(source) as chest:
        chest.write(records)
    with Transfer(source, nats.url(stream), batch_records=70) as transfer:
        assert transfer.run().written == 300
        transfer.begin_anew()
        assert transfer.run().written == 300
    assert nats.records(stream) == records


def test_the_heartbeat_and_the_command_check_it(url: str) -> None:
    result = CliRunner().invoke(commands, ["check", url], prog_name="chest", env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    asked = CliRunner().invoke(commands, ["find", url], prog_name="chest", env={"NO_COLOR": "1"})
    assert "can only be written" in asked.output
