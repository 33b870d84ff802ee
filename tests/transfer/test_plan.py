"""``Plan`` and ``ScheduledTransfers``: what a mapping says, checked at start, begun in a process that records."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chest import ChestMiddleware, Recorder
from chest.chests.memory import MemoryChest
from chest.chests.query import Query
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.errors import SettingsError
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from chest.transfer import ScheduledTransfer
from chest.transfer.plan import Plan
from tests.support import make_record, wait_until
from tests.transfer.conftest import LogChest


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "timetable"),
        ({"to": "memory:", "every": 5, "cron": "* * * * *"}, "timetable"),
        ({"every": 5}, "needs to="),
        ({"to": "memory:", "evry": 5}, "no option evry=. Did you mean every"),
        ({"to": "memory:", "every": 0}, "trigger"),
        ({"to": "memory:", "cron": "x"}, "crontab"),
        ({"to": "nothing:", "every": 5}, "scheme"),
    ],
)
def test_what_is_invalid_is_refused_at_start(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Plan.of(entry)
    with pytest.raises(SettingsError, match=said):
        Recorder(chests=["memory:x"], scheduled_transfers=[entry])


def test_a_mapping_says_an_export(tmp_path: Path) -> None:
    plan = Plan.of(
        {"to": "memory:x", "cron": "0 3 * * *", "timezone": "UTC", "move": True, "outcome": "error", "limit": 5}
    )
    assert plan.trigger == "0 3 * * *"
    assert plan.options == {"limit": 5, "remove_after": True, "query": Query(outcome="error"), "timezone": "UTC"}
    task = plan.task(MemoryChest("memory:source"), tmp_path)
    assert isinstance(task, ScheduledTransfer)


def test_a_mapping_says_a_retention() -> None:
    plan = Plan.of({"every": 3600, "max_age_days": 30, "max_rows": 10})
    assert plan.options == {"max_age": timedelta(days=30), "max_rows": 10}


def test_a_recorder_begins_its_exports_and_shows_them(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path / 'a.sqlite3'}", MemoryChest()
    export = {"to": target, "every": 0.2, "name": "out"}
    with Recorder(chests=[source], directory=tmp_path, scheduled_transfers=[export]) as recorder:
        assert recorder.stats()["scheduled_transfers"] == {}
        app = ChestMiddleware(_answer, recorder=recorder)
        b"".join(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: print))
        wait_until(lambda: len(target.records) == 1)
        wait_until(lambda: recorder.stats()["scheduled_transfers"]["out"].get("written") == 1)
        assert recorder.stats()["scheduled_transfers"]["out"]["ticks_behind"] <= 1
    assert recorder.stats()["scheduled_transfers"]["out"]["is_started"] is False


def _answer(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def test_an_export_that_cannot_begin_is_said_once_and_keeps_no_other_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = MemoryChest()
    chests = [f"sqlite:///{tmp_path / 'a.sqlite3'}"]
    with SQLiteChest(chests[0]) as source:
        source.write([make_record()])
    exports = [{"to": chests[0], "every": 5}, {"to": target, "every": 0.1}]
    with Recorder(chests=chests, directory=tmp_path, scheduled_transfers=exports) as recorder:
        with caplog.at_level(logging.ERROR, "chest.transfer"):
            for _ in range(3):
                recorder.scheduled_transfers.start()
        wait_until(lambda: target.records)
    assert [record.getMessage().count("source and target") for record in caplog.records] == [1]


def test_exports_come_from_the_environment_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_SCHEDULED_TRANSFERS", '[{"to": "memory:x", "every": 300}]')
    assert Recorder(chests=["memory:y"]).settings.scheduled_transfers[0]["every"] == 300
    monkeypatch.setenv("CHEST_SCHEDULED_TRANSFERS", '[{"to": "postgresql://u:secret@h/d", ')
    with pytest.raises(SettingsError) as raised:
        Recorder(chests=["memory:y"])
    assert "secret" not in str(raised.value)


def test_what_a_target_refuses_goes_where_the_recorder_keeps_such(tmp_path: Path) -> None:
    source, log, buried = MemoryChest(), LogChest(), list[tuple[str, str, str]]()
    source.write([make_record(path="bad"), make_record(path="good")])
    log.refused = {"bad"}

    def dead_letter(chest: str, record: Record, reason: str) -> None:
        buried.append((chest, record.path, reason))

    plan = Plan.of({"to": log, "every": 3600})
    assert plan.task(source, tmp_path, dead_letter).run_now().rejected == 1
    assert buried == [("log:", "bad", "log: will not have it")]
    assert log.paths == ["good"]


def exporting(source: SQLiteChest | str, log: LogChest, directory: Path, **options: Any) -> Recorder:
    """A recorder that exports five times a second."""
    recorder = Recorder(
        chests=[source], directory=directory, scheduled_transfers=[{"to": log, "every": 0.2, "name": "out"}], **options
    )
    recorder.prepare()
    return recorder


def test_what_the_target_of_a_recorder_s_export_refuses_becomes_a_dead_letter_and_is_delivered_when_it_is_wanted(
    tmp_path: Path,
) -> None:
    source, log = f"sqlite:///{tmp_path / 'a.sqlite3'}", LogChest()
    log.refused = {"/bad"}
    with exporting(source, log, tmp_path / "rings") as recorder:
        records = [
            make_record(recorder.request_side.record_ids, path="/bad" if number == 1 else "/") for number in range(3)
        ]
        for record in records:
            assert recorder.offer(record)
        wait_until(lambda: recorder.stats()["scheduled_transfers"].get("out", {}).get("rejected") == 1)
        wait_until(lambda: len(log.records) == 2)
        assert recorder.stats()["dead_letters"] == {"log:": 1}
    with closing(SpoolFile(spool_path(tmp_path / "rings", "log:"))) as file:
        letters = DeadLetters(file).list()
        assert [(letter.record.id, letter.reason) for letter in letters] == [(records[1].id, "log: will not have it")]
        assert DeadLetters(file).requeue(letters) == 1
    log.refused = set()
    assert recover_directory(tmp_path / "rings", [log]).records == 1
    assert sorted(record.id for record in log.records) == sorted(record.id for record in records)


def _last_error(recorder: Recorder) -> str:
    return recorder.stats()["scheduled_transfers"].get("out", {}).get("last_error") or ""


def test_what_can_be_kept_nowhere_waits_in_the_source_for_the_next_tick(tmp_path: Path) -> None:
    source, log = f"sqlite:///{tmp_path / 'a.sqlite3'}", LogChest()
    log.refused = {"/bad"}
    in_the_way = spool_path(tmp_path / "rings", "log:")
    in_the_way.mkdir(parents=True)
    with exporting(source, log, tmp_path / "rings") as recorder:
        recorder.offer(make_record(recorder.request_side.record_ids, path="/bad"))
        # The run is counted before its error is there, and an earlier one may have failed for another reason.
        wait_until(lambda: "cannot be kept" in _last_error(recorder))
        in_the_way.rmdir()
        wait_until(lambda: recorder.stats()["scheduled_transfers"]["out"].get("rejected") == 1)
    with closing(SpoolFile(in_the_way)) as file:
        assert file.size("dead").records == 1


def test_without_a_spool_what_is_refused_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, log = f"sqlite:///{tmp_path / 'a.sqlite3'}", LogChest()
    log.refused = {"/bad"}
    with exporting(source, log, tmp_path / "rings", spool_bytes=0) as recorder:
        recorder.offer(make_record(recorder.request_side.record_ids, path="/bad"))
        wait_until(lambda: recorder.stats()["scheduled_transfers"].get("out", {}).get("rejected") == 1)
    assert "refused record" in caplog.text
    assert not list((tmp_path / "rings").glob("*.spool"))
