"""``Plan`` and ``Exports``: what a mapping says, checked at start, begun in a process that records."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chest import ChestMiddleware, Recorder
from chest.chests.memory import MemoryChest
from chest.chests.query import Query
from chest.chests.sql import SQLChest
from chest.errors import SettingsError
from chest.record import Record
from chest.transfer import ScheduledExporter
from chest.transfer.plan import Plan
from tests.support import make_record, wait_until
from tests.transfer.conftest import LogChest


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "timetable"),
        ({"to": "memory:", "every": 5, "cron": "* * * * *"}, "timetable"),
        ({"every": 5}, "needs to="),
        ({"to": "memory:", "evry": 5}, "did you mean 'every'"),
        ({"to": "memory:", "every": 0}, "trigger"),
        ({"to": "memory:", "cron": "x"}, "crontab"),
        ({"to": "nothing:", "every": 5}, "scheme"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_start(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Plan.of(entry)
    with pytest.raises(SettingsError, match=said):
        Recorder(chests=["memory:x"], exports=[entry])


def test_a_mapping_says_an_export(tmp_path: Path) -> None:
    plan = Plan.of(
        {"to": "memory:x", "cron": "0 3 * * *", "timezone": "UTC", "move": True, "outcome": "error", "limit": 5}
    )
    assert plan.trigger == "0 3 * * *"
    assert plan.options == {"limit": 5, "remove_after": True, "query": Query(outcome="error"), "timezone": "UTC"}
    task = plan.task(MemoryChest("memory:source"), tmp_path)
    assert isinstance(task, ScheduledExporter)


def test_a_mapping_says_a_retention() -> None:
    plan = Plan.of({"every": 3600, "max_age_days": 30, "max_rows": 10})
    assert plan.options == {"max_age": timedelta(days=30), "max_rows": 10}


def test_a_recorder_begins_its_exports_and_shows_them(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path / 'a.sqlite3'}", MemoryChest()
    export = {"to": target, "every": 0.2, "name": "out"}
    with Recorder(chests=[source], directory=tmp_path, exports=[export]) as recorder:
        assert recorder.stats()["exports"] == {}
        app = ChestMiddleware(_answer, recorder=recorder)
        b"".join(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: print))
        wait_until(lambda: len(target.records) == 1)
        wait_until(lambda: recorder.stats()["exports"]["out"].get("written") == 1)
        assert recorder.stats()["exports"]["out"]["ticks_behind"] <= 1
    assert recorder.stats()["exports"]["out"]["is_started"] is False


def _answer(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def test_an_export_that_cannot_begin_is_said_once_and_keeps_no_other_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = MemoryChest()
    chests = [f"sqlite:///{tmp_path / 'a.sqlite3'}"]
    with SQLChest(chests[0]) as source:
        source.write([make_record()])
    exports = [{"to": chests[0], "every": 5}, {"to": target, "every": 0.1}]
    with Recorder(chests=chests, directory=tmp_path, exports=exports) as recorder:
        with caplog.at_level(logging.ERROR, "chest.transfer"):
            for _ in range(3):
                recorder.exports.start()
        wait_until(lambda: target.records)
    assert [record.getMessage().count("source and target") for record in caplog.records] == [1]


def test_exports_come_from_the_environment_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_EXPORTS", '[{"to": "memory:x", "every": 300}]')
    assert Recorder(chests=["memory:y"]).settings.exports[0]["every"] == 300
    monkeypatch.setenv("CHEST_EXPORTS", '[{"to": "postgresql://u:secret@h/d", ')
    with pytest.raises(SettingsError) as raised:
        Recorder(chests=["memory:y"])
    assert "secret" not in str(raised.value)


def test_what_a_target_refuses_goes_where_the_recorder_keeps_such(tmp_path: Path) -> None:
    source, log, buried = MemoryChest(), LogChest(), list[tuple[str, str, str]]()
    source.write([make_record(path="bad"), make_record(path="good")])
    log.refused = {"bad"}

    def bury(chest: str, record: Record, reason: str) -> None:
        buried.append((chest, record.path, reason))

    plan = Plan.of({"to": log, "every": 3600})
    assert plan.task(source, tmp_path, bury).run_now().rejected == 1
    assert buried == [("log:", "bad", "log: will not have it")]
    assert log.paths == ["good"]
