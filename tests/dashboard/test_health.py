"""``/api/health``: what waits, for which store, what was refused, and how late records are."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.testing.records import make_record
from tests.dashboard.conftest import ask

LABEL = "postgresql://shop@db/shop"


def test_spools_and_dead_letters_are_shown_and_not_changed(tmp_path: Path, chest: MemoryChest) -> None:
    tmp_path.chmod(0o700)
    path = spool_path(tmp_path, LABEL)
    with closing(SpoolFile(path, LABEL)) as file:
        file.add([make_record(time_ns=5_000_000), make_record()], 10**6, "the server is down")
        DeadLetters(file).add([make_record(path="/odd")], "no such column", 10**6)
    before = path.read_bytes()
    page = ChestPage(chest, allow="everybody", directories=[tmp_path])
    (service,) = ask(page, "/api/health").json["services"]
    (spool,) = service["spools"]
    assert (spool["chest"], spool["records"], spool["dead_letters"], spool["why"]) == (
        LABEL,
        2,
        1,
        "the server is down",
    )
    (letter,) = spool["letters"]
    assert (letter["reason"], letter["path"]) == ("no such column", "/odd")
    assert service["needs_care"]
    assert spool["oldest_ms"] == 5
    assert path.read_bytes() == before
    assert b"spool" in ask(page, "/api/health.csv").body


@pytest.mark.own_locks
def test_a_recorders_ring_and_counts_are_shown(tmp_path: Path) -> None:
    with Recorder([MemoryChest("memory:health")], directory=tmp_path / "rings", service="shop") as recorder:
        recorder.prepare()
        recorder.offer(make_record())
        recorder.flush(60)
        page = ChestPage(allow="everybody").of(recorder)
        found = ask(page, "/api/health").json
        assert found["recorder"]["service"] == "shop"
        assert found["recorder"]["taken"] == 1
        assert found["recorder"]["written"] == {"memory:health": 1}
        (service,) = found["services"]
        assert (service["service"], service["directory"]) == ("shop", str(tmp_path / "rings"))
        assert [ring["is_living"] for ring in service["rings"]] == [True]
        assert found["store"]["name"] == "memory:health"
        assert found["store"]["lag_ms"] >= 0
        MemoryChest("memory:health").clear()


def test_counts_are_of_all_processes_if_the_recorder_keeps_them(tmp_path: Path) -> None:
    with Recorder([MemoryChest()], directory=tmp_path / "rings", service="shop", metrics=True) as recorder:
        recorder.prepare()
        recorder.offer(make_record())
        recorder.flush(60)
        assert ask(ChestPage(allow="everybody").of(recorder), "/api/health").json["counts"]["taken"] == 1


def test_a_store_that_is_down_does_not_hide_what_waits_for_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    page = ChestPage(f"sqlite:///{tmp_path}/none.sqlite3", allow="everybody", directories=[tmp_path, tmp_path / "no"])
    answer = ask(page, "/api/health")
    assert answer.status == 200
    assert "no such file" in answer.json["store"]["error"]
    assert [service["directory"] for service in answer.json["services"]] == [str(tmp_path)]
    assert len(answer.json["errors"]) == 1


def test_that_there_is_no_directory_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("CHEST_DIRECTORY", raising=False)
    answer = ask(ChestPage(MemoryChest(), allow="everybody"), "/api/health")
    assert (answer.json["services"], answer.json["errors"]) == ([], [])
