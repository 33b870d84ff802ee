"""``Transfer``: what is moved, where it goes on, and what a failure leaves."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.chests.query import Query
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestError, ChestUnavailable, SettingsError
from chest.record.record import Record
from chest.transfer import position, sent
from chest.transfer.result import TransferResult
from chest.transfer.transfer import Transfer
from tests.support import make_record
from tests.transfer.conftest import LateChest, LogChest, paths


def _records(*names: str) -> list[Record]:
    return [make_record(path=name) for name in names]


def test_records_are_copied_in_order_whole_and_once(source: SQLiteChest, target: MemoryChest) -> None:
    records = _records(*map(str, range(25)))
    source.write(records)
    transfer = Transfer(source, target, batch_records=10)
    result = transfer.run()
    assert target.records == records
    assert (result.read, result.written, result.rejected, result.is_complete) == (25, 25, 0, True)
    assert transfer.run().read == 0
    source.write(_records("new"))
    assert transfer.run().written == 1
    assert len(source.read()) == 26


def test_another_object_goes_on_where_the_last_one_stopped(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records("a", "b"))
    Transfer(source, log).run()
    source.write(_records("c"))
    Transfer(source, log).run()
    assert log.paths == ["a", "b", "c"]


def test_chests_may_be_given_as_urls(tmp_path: Path) -> None:
    first, second = f"sqlite:///{tmp_path / 'a.sqlite3'}", f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with SQLiteChest(first) as chest:
        chest.write(_records("a"))
    with Transfer(first, second) as transfer:
        assert transfer.run().written == 1
    with SQLiteChest(second) as chest:
        assert [stored.record.path for stored in chest.read()] == ["a"]


def test_a_target_that_fails_loses_nothing_and_the_next_run_goes_on(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records(*map(str, range(30))))
    log.fails_at = {2, 3}
    transfer = Transfer(source, log, batch_records=10)
    for _ in range(2):
        with pytest.raises(ChestUnavailable):
            transfer.run()
        assert len(log.records) == 10
    assert transfer.run().written == 20
    assert log.paths == list(map(str, range(30)))


def test_a_target_that_fails_in_the_middle_of_a_batch_does_not_get_its_first_half_again(
    source: SQLiteChest, log: LogChest
) -> None:
    source.write(_records("a", "b", "bad", "d"))
    log.refused, log.names_refused, log.fails_at = {"bad"}, False, {3}  # the whole batch; a and b; then it is down
    with pytest.raises(ChestUnavailable):
        Transfer(source, log).run()
    assert log.paths == ["a", "b"]
    result = Transfer(source, log).run()
    assert log.paths == ["a", "b", "d"]
    assert result.rejected == 1


@pytest.mark.parametrize("names_refused", [True, False])
def test_a_refused_record_is_handed_over_and_the_others_arrive(
    source: SQLiteChest, log: LogChest, names_refused: bool
) -> None:
    source.write(_records("a", "bad", "c", "worse", "e"))
    log.refused, log.names_refused = {"bad", "worse"}, names_refused
    rejected: list[tuple[str, str]] = []
    result = Transfer(source, log, reject=lambda record, why: rejected.append((record.path, why))).run()
    assert sorted(log.paths) == ["a", "c", "e"]
    assert rejected == [("bad", "log: will not have it"), ("worse", "log: will not have it")]
    assert (result.written, result.rejected) == (3, 2)
    assert Transfer(source, log).run().read == 0


def test_a_refusal_without_reject_is_logged_once_a_run(
    source: SQLiteChest, log: LogChest, caplog: pytest.LogCaptureFixture
) -> None:
    source.write(_records("bad", "worse"))
    log.refused = {"bad", "worse"}
    with caplog.at_level(logging.ERROR, "chest.transfer"):
        assert Transfer(source, log).run().rejected == 2
    assert len(caplog.records) == 1


def test_a_dead_letter_store_that_fails_keeps_the_record_for_the_next_run(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records("bad"))
    log.refused = {"bad"}

    def fail(record: Record, why: str) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Transfer(source, log, reject=fail).run()
    kept: list[Record] = []
    Transfer(source, log, reject=lambda record, _: kept.append(record)).run()
    assert [record.path for record in kept] == ["bad"]


def test_moving_removes_what_the_target_took_and_nothing_else(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records("a", "bad", "c", "left out"))
    log.refused = {"bad"}
    move = Transfer(source, log, remove_after=True, map=lambda record: None if record.path == "left out" else record)
    move.run()
    assert log.paths == ["a", "c"]
    assert [stored.record.path for stored in source.read()] == ["bad", "left out"]
    assert move.run().read == 0


def test_conditions_choose_and_the_place_is_kept_for_each_choice(source: SQLiteChest, log: LogChest) -> None:
    source.write([make_record(path="fine"), make_record(path="broken", outcome="error")])
    Transfer(source, log, query=Query(outcome="error")).run()
    assert log.paths == ["broken"]
    Transfer(source, log, query=Query(outcome="ok")).run()
    assert log.paths == ["broken", "fine"]
    assert Transfer(source, log, query=Query(outcome="error")).run().read == 0


def test_what_matches_nothing_is_not_looked_at_again(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records("a", "b", "c"))
    transfer = Transfer(source, log, query=Query(outcome="error"))
    assert transfer.estimate() == 3
    transfer.run()
    assert transfer.estimate() == 0


def test_a_function_changes_records_or_leaves_them_out(source: SQLiteChest, target: MemoryChest) -> None:
    source.write(_records("a", "b"))
    result = Transfer(
        source, target, map=lambda record: record._replace(path="changed") if record.path == "a" else None
    ).run()
    assert paths(target) == ["changed"]
    assert (result.read, result.written) == (2, 1)


def test_a_function_that_raises_stops_the_run_and_loses_nothing(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records("a", "b"))

    def broken(record: Record) -> Record:
        raise KeyError(record.path)

    with pytest.raises(KeyError):
        Transfer(source, log, map=broken).run()
    assert Transfer(source, log).run().written == 2


def test_the_limit_is_for_one_run(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records(*"abcdefg"))
    transfer = Transfer(source, log, limit=3, batch_records=2)
    results = [transfer.run() for _ in range(4)]
    assert [result.written for result in results] == [3, 3, 1, 0]
    assert [result.is_complete for result in results] == [False, False, True, True]
    assert log.paths == list("abcdefg")


def test_a_run_that_is_stopped_ends_between_batches(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records(*map(str, range(30))))
    seen: list[int] = []
    transfer = Transfer(source, log, batch_records=10)

    def progress(result: TransferResult) -> None:
        seen.append(result.written)

    result = transfer.run(stop=lambda: len(seen) == 2, progress=progress)
    assert (result.written, result.is_complete, seen) == (20, False, [10, 20])
    assert transfer.run().written == 10


def test_a_dry_run_counts_and_changes_nothing(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records(*"abc"))
    transfer = Transfer(source, log, batch_records=2)
    result = transfer.run(dry_run=True)
    assert (result.read, result.written, log.records) == (3, 0, [])
    assert transfer.run().written == 3


def test_beginning_anew_reads_from_the_start(source: SQLiteChest, target: MemoryChest) -> None:
    source.write(_records("a"))
    transfer = Transfer(source, target)
    transfer.run()
    transfer.begin_anew()
    assert transfer.run().read == 1
    assert len(target.records) == 1


def test_a_late_record_is_found_and_nothing_is_sent_twice(late: LateChest, log: LogChest) -> None:
    for place in (1, 2, 4, 5):
        late.put(place, make_record(path=str(place)))
    Transfer(late, log, batch_records=2).run()
    late.put(3, make_record(path="3"))
    late.put(6, make_record(path="6"))
    result = Transfer(late, log, batch_records=2).run()
    assert log.paths == ["1", "2", "4", "5", "3", "6"]
    assert result.read == 2


def test_what_was_sent_is_known_by_its_id_wherever_it_stands(late: LateChest, log: LogChest) -> None:
    """A server that was restored, or a replica that took over, gives places again."""
    for place in (1, 2, 3):
        late.put(place, make_record(path=str(place)))
    Transfer(late, log).run()
    late.put(4, late.rows[3].record)
    late.put(3, make_record(path="another"))
    result = Transfer(late, log).run()
    assert log.paths == ["1", "2", "3", "another"]
    assert result.read == 1


def test_many_that_are_not_settled_are_remembered_from_run_to_run(
    late: LateChest, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "BLOCK_IDS", 7)
    for place in range(1, 101):
        late.put(place, make_record(path=str(place)))
        if place % 40 == 0:
            Transfer(late, log, batch_records=9).run()
    Transfer(late, log, batch_records=9).run()
    assert Transfer(late, log).run().read == 0
    assert log.paths == [str(place) for place in range(1, 101)]


def test_a_record_that_turns_up_while_a_slow_target_writes_is_found(
    late: LateChest, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "SETTLED_AFTER", timedelta(seconds=0.5))
    late.put(2, make_record(path="2"))

    def slowly(record: Record) -> Record:
        time.sleep(0.7)
        late.put(1, make_record(path="1"))
        return record

    Transfer(late, log, map=slowly).run()
    Transfer(late, log).run()
    assert log.paths == ["2", "1"]


def test_a_source_that_fails_amid_a_run_loses_nothing(
    source: SQLiteChest, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write(_records(*map(str, range(30))))
    read, asked = source.read, []

    def failing(*arguments: Any, **options: Any) -> Any:
        asked.append(options["after"])
        if len(asked) == 2:
            raise ChestUnavailable("locked")
        return read(*arguments, **options)

    monkeypatch.setattr(source, "read", failing)
    transfer = Transfer(source, log, batch_records=10)
    with pytest.raises(ChestUnavailable, match="locked"):
        transfer.run()
    assert log.paths == list(map(str, range(10)))
    assert transfer.run().written == 20


def test_what_was_stored_long_ago_is_not_read_again(late: LateChest, log: LogChest) -> None:
    for place in range(1, 11):
        late.put(place, make_record(path=str(place)), age=timedelta(seconds=61 if place < 9 else 0))
    transfer = Transfer(late, log, batch_records=5)
    transfer.run()
    assert transfer.estimate() == 2
    assert Transfer(late, log).run().read == 0
    assert len(log.records) == 10


def test_a_late_record_that_matches_a_rare_condition_is_found_too(
    late: LateChest, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    late.put(2, make_record(path="2"))
    transfer = Transfer(late, log, query=Query(outcome="error"))
    transfer.run()
    late.put(1, make_record(path="1", outcome="error"))
    transfer.run()
    assert log.paths == ["1"]
    monkeypatch.setattr(position, "SETTLED_AFTER", timedelta())
    for _ in range(3):
        transfer.run()
    assert transfer.estimate() == 0


def test_no_more_is_remembered_than_there_is_room_for(
    late: LateChest, log: LogChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "MOST_REMEMBERED", 3)
    for place in range(0, 40, 2):
        late.put(place + 1, make_record(path=str(place)))
    result = Transfer(late, log, batch_records=2).run()
    assert not result.is_complete
    assert len(log.records) == 3
    assert Transfer(late, log, batch_records=2).run().read == 0
    monkeypatch.setattr(position, "SETTLED_AFTER", timedelta())
    assert Transfer(late, log, batch_records=2).run().is_complete
    assert log.paths == [str(place) for place in range(0, 40, 2)]


def test_a_target_that_knows_ids_is_not_kept_waiting_if_no_more_can_be_remembered(
    late: LateChest, target: MemoryChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "MOST_REMEMBERED", 3)
    for place in range(1, 21):
        late.put(place, make_record(path=str(place)))
    assert Transfer(late, target, batch_records=2).run().is_complete
    assert Transfer(late, target, batch_records=2).run().read == 17
    assert paths(target) == [str(place) for place in range(1, 21)]


def test_two_runs_at_once_do_not_both_go_on(source: SQLiteChest, log: LogChest) -> None:
    source.write(_records(*"abcd"))
    first, second = (Transfer(source, log, batch_records=2) for _ in range(2))

    def overtake(result: TransferResult) -> None:
        if result.written == 2:
            second.run()

    with pytest.raises(ChestError, match="Another run"):
        first.run(progress=overtake)
    assert Transfer(source, log).run().read == 0


def test_a_place_kept_in_a_directory_leaves_the_source_alone(
    source: SQLiteChest, log: LogChest, tmp_path: Path
) -> None:
    source.write(_records("a"))
    before = (tmp_path / "source.sqlite3").stat().st_size
    Transfer(source, log, directory=tmp_path / "notes").run()
    Transfer(source, log, directory=tmp_path / "notes").run()
    assert log.paths == ["a"]
    assert (tmp_path / "source.sqlite3").stat().st_size == before


def test_what_is_invalid_is_refused(source: SQLiteChest, target: MemoryChest, log: LogChest) -> None:
    with pytest.raises(SettingsError, match="directory="):
        Transfer(target, log)
    with pytest.raises(SettingsError, match="only be written"):
        Transfer(log, target)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="source and target"):
        Transfer(source, source)
    with pytest.raises(SettingsError, match="at least 1"):
        Transfer(source, log, limit=0)
