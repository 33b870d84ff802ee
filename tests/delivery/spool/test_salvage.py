"""Of a damaged spool what can be read is delivered, nothing is invented, and what cannot be read is said."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.salvage import records_in, salvaged
from chest.delivery.spool.spool import Spool
from chest.record.counters import Counters
from chest.record.encoding import encode
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests.support import make_record, wait_until

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return spool_path(tmp_path, "memory:salvage")


def filled(path: Path, count: int = 2000) -> list[Record]:
    """A spool without a log beside it, and what it holds."""
    records = [make_record(request_id=str(number), variables={"text": "x" * 50}) for number in range(count)]
    with closing(SpoolFile(path, "memory:salvage")) as file:
        for start in range(0, count, 250):
            file.add(records[start : start + 250], 1 << 30)
        DeadLetters(file).add(records[:3], "too long", 1 << 20)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return records


def damage(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def read_around(path: Path) -> tuple[list[Record], list[Record], int]:
    """What waits, what is dead, and how many are known to be lost."""
    found = list(salvaged(path))
    waiting = [record for each in found if each.reason is None for record in each.records]
    dead = [record for each in found if each.reason is not None for record in each.records]
    return waiting, dead, sum(each.lost for each in found)


def test_what_is_whole_is_read_whole(path: Path) -> None:
    records = filled(path)
    assert read_around(path) == (records, records[:3], 0)


def test_a_few_damaged_bytes_cost_the_records_that_they_stand_in(path: Path) -> None:
    records = filled(path)
    damage(path, path.stat().st_size // 2, b"\xff" * 200)
    waiting, _, lost = read_around(path)
    assert len(waiting) >= len(records) - 3
    assert lost == len(records) - len(waiting)
    assert all(record in records for record in waiting)


@pytest.mark.parametrize("seed", range(8))
def test_lost_pages_cost_no_more_than_the_pieces_that_they_are_of(path: Path, seed: int) -> None:
    records = filled(path)
    chance = random.Random(seed)
    for _ in range(3):
        page = chance.randrange(1, path.stat().st_size // PAGE)
        damage(path, page * PAGE, chance.choice([bytes(PAGE), chance.randbytes(PAGE)]))
    waiting, _, _ = read_around(path)
    by_id = {record.id: record for record in records}
    assert all(by_id[record.id] == record for record in waiting)
    assert len({record.id for record in waiting}) >= len(records) - 3 * 250


@pytest.mark.parametrize("lost", [100, PAGE])
def test_without_its_first_page_most_is_found_in_the_others(path: Path, lost: int) -> None:
    records = filled(path)
    damage(path, 0, bytes(lost))
    waiting, _, _ = read_around(path)
    by_id = {record.id: record for record in records}
    assert all(by_id[record.id] == record for record in waiting)
    assert len({record.id for record in waiting}) > 0.9 * len(records)


def test_a_record_is_told_by_its_beginning_and_text_that_looks_like_one_is_none() -> None:
    sly = make_record(variables={"text": '["0123456789abcdef0123456789abcdef","x"]'})
    plain = make_record()
    text = encode([sly[:], plain[:]])
    assert records_in(text) == [sly, plain]
    assert records_in(text[30:]) == [plain]
    assert records_in(text[:-30]) == [sly]
    assert records_in(text.replace(b"x", b"\xff")) == [plain]


def test_a_recorder_delivers_what_can_be_read_of_its_damaged_spool(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.spool.spool.TRY_AGAIN_SECONDS", 0.2)
    records = filled(path)
    damage(path, path.stat().st_size // PAGE // 2 * PAGE, b"\xff" * PAGE)
    damage(path, 2 * PAGE, b"\xff" * PAGE)
    chest = MemoryChest()
    chest.name = "memory:salvage"
    recorder = Recorder([chest], directory=tmp_path, service="shop")
    recorder.prepare()
    wait_until(lambda: list(tmp_path.glob("*.damaged.read")), 60)
    wait_until(lambda: len(chest.records) > 1400, 60)
    assert recorder.close(60)
    assert all(record in records for record in chest.records)
    assert "was damaged" in caplog.text
    assert f"{path.name}.damaged.read" in caplog.text


def test_a_recovery_delivers_around_the_damage_and_says_what_not_and_where(tmp_path: Path, path: Path) -> None:
    records = filled(path)
    damage(path, 2 * PAGE, b"\xff" * PAGE)
    chest = MemoryChest()
    chest.name = "memory:salvage"
    recovered = recover_directory(tmp_path, [chest])
    assert len(chest.records) > 1700
    assert all(record in records for record in chest.records)
    (aside,) = recovered.set_aside
    assert aside == tmp_path / f"{path.name}.damaged.read"
    assert any("was damaged" in complaint for complaint in recovered.complaints)
    again = recover_directory(tmp_path, [chest])
    assert (again.records, again.set_aside, again.complaints) == (0, (), ())


def test_damage_within_a_row_costs_what_it_touches_is_counted_once_and_kept_for_a_person(
    tmp_path: Path, path: Path
) -> None:
    records = filled(path)
    content = path.read_bytes()
    damage(path, content.index(records[700].id.encode()) - 20, b"\xff" * 80)
    counters = Counters()
    spool = Spool(path, "memory:salvage", 1 << 30, counters)
    found: list[Record] = []
    while spool.begin() and (piece := spool.oldest()) is not None:
        assert spool.oldest() == piece  # as a chest that is down has it tried again
        found += piece.records
        spool.remove(piece)
    spool.close()
    lost = [record for record in records if record not in found]
    assert 0 < len(lost) <= 2
    assert all(record in records for record in found)
    assert counters.get("dropped.damaged") == len(lost)
    (kept,) = tmp_path.glob("*.damaged.read")
    assert b'"699"' in kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_takes_the_place_of_no_other(path: Path) -> None:
    spool = Spool(path, "memory:salvage", 1 << 30, Counters())
    for _ in range(3):
        path.write_bytes(b"no database " * 1000)
        assert not spool.add([make_record()])
        spool.try_now()
        assert spool.begin()
        spool.try_now()
    spool.close()
    assert len(list(path.parent.glob(f"{path.name}.damaged.read*"))) == 3  # PyPy's `Path.glob` misses some of "*.read*"
