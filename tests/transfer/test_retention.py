"""``Retention``: what goes, what stays, and that others go on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from chest.chests.memory import MemoryChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.upkeep import RetentionBackend
from chest.errors import ChestUnavailable, SettingsError
from chest.record.record import Record
from chest.transfer.retention import Retention
from tests.support import make_record
from tests.transfer.conftest import LogChest, paths

_HOUR_NS = 3600 * 10**9


def _aged(*hours: int) -> list[Record]:
    now = time.time_ns()
    return [make_record(path=str(age), time_ns=now - age * _HOUR_NS) for age in hours]


def _paths(chest: SQLiteChest) -> list[str]:
    return [stored.record.path for stored in chest.read(limit=100_000)]


def test_requests_older_than_the_age_go_whatever_the_order_they_were_stored_in(source: SQLiteChest) -> None:
    source.write(_aged(30, 1, 25, 2, 48))
    result = Retention(source, max_age=timedelta(hours=24), chunk_records=2).run()
    assert _paths(source) == ["1", "2"]
    assert (result.removed, result.is_complete) == (3, True)


def test_the_rows_stored_first_go_when_there_are_too_many(source: SQLiteChest) -> None:
    source.write(_aged(1, 9, 5, 7))
    assert Retention(source, max_rows=2, chunk_records=1).run().removed == 2
    assert _paths(source) == ["5", "7"]
    assert Retention(source, max_rows=2).run().removed == 0


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
@pytest.mark.parametrize(
    ("hours", "said"),
    [((30, 48, 25), "is older than max_age"), ((30, 1, -30), "is from the future")],
    ids=["all too old", "one of the future"],
)
def test_nothing_goes_for_its_age_if_the_newest_record_makes_the_clock_doubtful(
    source: SQLiteChest, kind: str, hours: tuple[int, ...], said: str
) -> None:
    chest = source if kind == "sqlite" else MemoryChest()
    chest.write(_aged(*hours))
    with pytest.raises(ChestUnavailable, match=said):
        Retention(chest, max_age=timedelta(hours=24)).run()
    assert len(chest.read()) == len(hours)
    assert Retention(chest, max_age=timedelta(hours=24), may_remove_all=True).run().removed == sum(
        each > 24 for each in hours
    )


def test_the_other_bounds_hold_also_with_a_clock_that_is_doubtful(source: SQLiteChest) -> None:
    source.write(_aged(30, 48, 25))
    with pytest.raises(ChestUnavailable, match="is older than max_age"):
        Retention(source, max_age=timedelta(hours=24), max_rows=2).run()
    assert len(_paths(source)) == 2


def test_an_empty_chest_has_nothing_to_doubt(source: SQLiteChest) -> None:
    source.open()
    for chest in (source, MemoryChest()):
        assert Retention(chest, max_age=timedelta(hours=24)).run().is_complete


def _big(count: int) -> list[Record]:
    return [make_record(path=str(place), variables={"text": "x" * 2000}) for place in range(count)]


def test_a_file_is_kept_within_its_bytes_and_becomes_shorter(source: SQLiteChest, tmp_path: Path) -> None:
    source.write(_big(3000))
    source.close()
    path = tmp_path / "source.sqlite3"
    before = path.stat().st_size
    assert before > 6 * 2**20
    result = Retention(f"sqlite:///{path}", max_bytes=2 * 2**20).run()
    assert path.stat().st_size <= 2 * 2**20
    assert result.reclaimed_bytes >= before - 2 * 2**20 - 2**16
    assert _paths(source)[-1] == "2999"
    assert 400 < len(_paths(source)) < 1100


def test_the_bytes_of_a_users_own_tables_cost_no_record(
    source: SQLiteChest, tmp_path: Path, execute: Callable[[str], None]
) -> None:
    source.write(_aged(1, 2, 3))
    execute("CREATE TABLE mine (data)")
    execute("INSERT INTO mine VALUES (zeroblob(5000000))")
    assert Retention(source, max_bytes=2**20).run().removed == 0


def test_a_chest_without_means_of_its_own_is_kept_by_age(log: LogChest) -> None:
    chest = MemoryChest()
    chest.write(_aged(30, 1, 25))
    assert Retention(chest, max_age=timedelta(days=1), chunk_records=1).run().removed == 2
    assert paths(chest) == ["1"]
    with pytest.raises(SettingsError, match="max_age= alone"):
        Retention(chest, max_rows=1)
    with pytest.raises(SettingsError, match="only be written"):
        Retention(log, max_age=timedelta(days=1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({}, "needs a bound"),
        ({"max_age": timedelta()}, "max_age"),
        ({"max_rows": -1}, "max_rows"),
        ({"max_bytes": 1000}, "max_bytes"),
        ({"max_rows": 1, "chunk_records": 0}, "chunk_records"),
    ],
)
def test_what_is_invalid_is_refused(source: SQLiteChest, bounds: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Retention(source, **bounds)  # type: ignore[arg-type]


def test_a_store_that_has_nothing_to_drop_is_asked_once_for_each_bound(
    source: SQLiteChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(RetentionBackend, "remove_at_once", lambda *arguments: asked.append(arguments) or 0)
    source.write(_aged(*[50] * 35, *[1] * 35))
    assert Retention(source, max_age=timedelta(hours=24), max_rows=5, chunk_records=10).run().removed == 65
    assert len(asked) == 2


def test_a_run_can_be_stopped(source: SQLiteChest) -> None:
    source.write(_aged(0, *range(10, 30)))
    asked = iter([False, False, True, True, True, True, True, True])
    result = Retention(source, max_age=timedelta(hours=1), chunk_records=5).run(stop=lambda: next(asked))
    assert (result.removed, result.is_complete) == (10, False)


def test_writers_and_readers_go_on_meanwhile(source: SQLiteChest, tmp_path: Path) -> None:
    source.write(_aged(0, *[48] * 20_000))
    patient = f"sqlite:///{tmp_path / 'source.sqlite3'}?busy_timeout_ms=60000"  # on a busy machine
    with SQLiteChest(patient) as other, SQLiteChest(patient) as cleaned:
        thread = threading.Thread(target=Retention(cleaned, max_age=timedelta(hours=1)).run, daemon=True)
        thread.start()
        written = 0
        while thread.is_alive():  # neither raises "locked"
            other.write(_aged(0))
            other.read(limit=10)
            written += 1
        thread.join()
        assert written > 20
        assert len(_paths(other)) == written + 1
