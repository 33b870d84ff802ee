"""What a chest cannot take yet, on disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chest.delivery.batch import Batch
from chest.delivery.spool.contents import look_into
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolError, SpoolFile
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.spool import Spool
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.record.record import Outcome, Record
from tests.delivery.test_worker import ScriptedChest
from tests.processes import running_python
from tests.support import make_record

MIB = 1024 * 1024
LABEL = "postgresql://shop@db/records"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, counters: Counters, clock: Clock) -> Iterator[Spool]:
    spool = Spool(spool_path(tmp_path, LABEL), LABEL, MIB, counters, clock)
    yield spool
    spool.close()


def drained(spool: Spool) -> list[Record]:
    found: list[Record] = []
    assert spool.begin()
    while piece := spool.oldest():
        found += piece.records
        spool.remove(piece)
    spool.end()
    return found


def test_what_was_put_comes_back_whole_and_in_order(spool: Spool, counters: Counters) -> None:
    records = [make_record(duration_ns=number, variables={"ü": ["\U0001f600", None, 1.5]}) for number in range(600)]
    assert spool.add(records[:250])
    assert spool.add(records[250:])
    assert drained(spool) == records
    assert spool.size == (0, 0)
    assert counters.get(f"spooled.{LABEL}") == 600


def test_it_survives_the_process_that_put_it_there(tmp_path: Path, counters: Counters, spool: Spool) -> None:
    code = """
        import sys, os
        from pathlib import Path
        from chest.record.counters import Counters
        from chest.delivery.spool.spool import Spool
        from tests.support import make_record
        spool = Spool(Path(sys.argv[1]), sys.argv[2], 1 << 20, Counters())
        assert spool.add([make_record(path="/from-the-dead")])
        print("put", flush=True)
        sys.stdin.read()
    """
    with running_python(code, spool.path, LABEL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "put\n"
        process.kill()
        process.wait()
    assert [record.path for record in drained(spool)] == ["/from-the-dead"]


def test_when_it_is_full_the_oldest_are_dropped_counted_and_that_is_said_once(
    spool: Spool, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    records = [make_record(variables={"text": "x" * 1000}, duration_ns=number) for number in range(2000)]
    for start in range(0, 2000, 100):
        assert spool.add(records[start : start + 100])
    kept = drained(spool)
    assert kept == records[-len(kept) :]
    assert 500 < len(kept) < 1000
    assert counters.snapshot()["dropped"] == {"spool_full": 2000 - len(kept)}
    assert [entry.message for entry in caplog.records if "full" in entry.message][1:] == []
    assert spool.path.stat().st_size < 3 * MIB


def test_a_batch_comes_back_as_one_piece(spool: Spool) -> None:
    records = [make_record() for _ in range(400)]
    assert spool.add(records)
    assert spool.begin()
    piece = spool.oldest()
    assert piece is not None
    assert piece.records == records


def test_a_batch_that_would_take_much_of_the_room_is_kept_in_pieces(spool: Spool) -> None:
    records = [make_record(variables={"text": "x" * 1000}) for _ in range(750)]
    assert spool.add(records[:150], pieces=[records[:150]])
    assert spool.add(records[150:], pieces=[records[150:]])
    sizes = []
    assert spool.begin()
    while piece := spool.oldest():
        sizes.append(len(piece.records))
        spool.remove(piece)
    assert sizes == [150, 250, 250, 100]


@pytest.mark.parametrize("most_bytes", [MIB, 64 * MIB])
def test_space_is_given_back_to_the_disk(tmp_path: Path, counters: Counters, most_bytes: int) -> None:
    spool = Spool(spool_path(tmp_path, LABEL), LABEL, most_bytes, counters)
    assert spool.add([make_record(variables={"text": "x" * 1000}) for _ in range(3000 if most_bytes > MIB else 900)])
    spool.close()
    full = spool.path.stat().st_size
    drained(spool)
    spool.close()
    assert spool.path.stat().st_size < full / 4


def test_only_one_process_delivers_it_at_a_time(spool: Spool) -> None:
    spool.add([make_record()])
    code = """
        import sys
        from pathlib import Path
        from chest.record.counters import Counters
        from chest.delivery.spool.spool import Spool
        spool = Spool(Path(sys.argv[1]), sys.argv[2], 1 << 20, Counters())
        print(spool.begin(), flush=True)
        sys.stdin.read()
    """
    with running_python(code, spool.path, LABEL) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not spool.begin()
        other.kill()
        other.wait()
    assert spool.begin()


def test_two_recorders_of_one_process_do_not_deliver_it_both(spool: Spool, counters: Counters) -> None:
    spool.add([make_record()])
    other = Spool(spool.path, LABEL, MIB, counters)
    assert spool.begin()
    assert not other.begin()
    spool.end()
    assert other.begin()
    other.close()


def test_a_file_that_cannot_be_used_raises_nothing_is_counted_and_left_alone_for_a_while(
    spool: Spool, counters: Counters, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    spool.path.mkdir()
    assert not spool.add([make_record()])
    assert not spool.add([make_record()])
    assert counters.get("spool_failed") == 1
    clock.now += 6
    assert not spool.add([make_record()])
    assert counters.get("spool_failed") == 2
    assert len(caplog.records) == 1
    spool.path.rmdir()
    clock.now += 6
    with caplog.at_level(logging.INFO):
        assert spool.add([make_record()])
    assert "spooled to disk again" in caplog.records[-1].message


def test_a_link_and_another_users_file_are_refused(tmp_path: Path, spool: Spool, clock: Clock) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    spool.path.symlink_to(elsewhere)
    assert not spool.add([make_record()])
    assert elsewhere.read_bytes() == b""
    spool.path.unlink()
    if os.geteuid() == 0:
        spool.path.touch()
        os.chown(spool.path, 65534, 65534)
        clock.now += 6
        assert not spool.add([make_record()])
        assert spool.path.read_bytes() == b""


def test_its_files_are_for_this_user_only(tmp_path: Path, spool: Spool) -> None:
    before = os.umask(0)
    try:
        spool.add([make_record()])
        assert spool.begin()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_damaged_file_is_set_aside_and_a_new_one_made(spool: Spool, clock: Clock, tmp_path: Path) -> None:
    spool.add([make_record() for _ in range(200)])
    spool.close()
    spool.path.write_bytes(b"no database " * 1000)
    assert not spool.add([make_record()])
    clock.now += 6
    assert spool.add([make_record(path="/new")])
    assert [record.path for record in drained(spool)] == ["/new"]
    assert (tmp_path / (spool.path.name + ".damaged.read")).exists()


def test_rows_that_make_no_sense_are_left_out_and_counted(spool: Spool, counters: Counters) -> None:
    spool.add([make_record(path="/whole")])
    with sqlite3.connect(spool.path) as connection:
        for lines in (b"{", b'[["too","short"]]', b"\xff\xfe", b"7", b"[" * 100_000):
            connection.execute("INSERT INTO spooled (records, bytes, lines) VALUES (1, 1, ?)", (lines,))
    connection.close()
    assert [record.path for record in drained(spool)] == ["/whole"]
    assert counters.get("dropped.damaged") == 5


def test_a_file_of_a_later_format_is_left_alone(spool: Spool, counters: Counters) -> None:
    spool.add([make_record()])
    spool.close()
    with sqlite3.connect(spool.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = spool.path.read_bytes()
    assert not spool.add([make_record()])
    spool.close()
    assert spool.path.read_bytes() == before


def test_the_name_of_the_file_is_the_chest_s_and_the_same_from_start_to_start(tmp_path: Path) -> None:
    assert spool_path(tmp_path, LABEL) == spool_path(tmp_path, LABEL)
    assert spool_path(tmp_path, LABEL) != spool_path(tmp_path, LABEL + "2")
    assert spool_path(tmp_path, "../../etc/passwd").parent == tmp_path
    assert len(spool_path(tmp_path, "x" * 10_000).name) < 100


def test_dead_letters_are_kept_with_the_reason_and_can_be_delivered_again_or_forgotten(
    spool: Spool, counters: Counters
) -> None:
    records = [make_record(duration_ns=number) for number in range(3)]
    assert spool.dead_letter(records, "value out of range for https://bob:hunter2@store/\nsecond line")
    file = SpoolFile(spool.path)
    dead_letters = DeadLetters(file)
    letters = dead_letters.list()
    assert [letter.record for letter in letters] == records
    assert letters[0].reason == "value out of range for https://bob:***@store/\\nsecond line"
    assert dead_letters.requeue(letters[:1]) == 1
    assert dead_letters.requeue(letters[:1]) == 0
    assert dead_letters.discard(letters[1:2]) == 1
    assert [letter.record for letter in dead_letters.list()] == records[2:]
    assert drained(spool) == records[:1]
    assert counters.get(f"dead_letters.{LABEL}") == 3


def test_dead_letters_are_bounded(spool: Spool, counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.delivery.spool.spool.DEAD_LETTER_BYTES", 10_000)
    for number in range(100):
        assert spool.dead_letter([make_record(duration_ns=number)], "no")
    kept = [letter.record.duration_ns for letter in DeadLetters(SpoolFile(spool.path)).list()]
    assert kept == list(range(100 - len(kept), 100))
    assert counters.get("dropped.dead_letters_full") == 100 - len(kept)


def test_a_fork_in_the_midst_of_use_harms_neither_parent_nor_child(spool: Spool) -> None:
    spool.add([make_record(path="/parent")])
    child = os.fork()
    if not child:
        try:
            other = Spool(spool.path, LABEL, MIB, Counters())
            os._exit(0 if other.add([make_record(path="/child")]) else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    spool.add([make_record(path="/parent-after")])
    assert [record.path for record in drained(spool)] == ["/parent", "/child", "/parent-after"]


def test_root_looking_into_a_worker_s_directory_leaves_no_lock_in_its_way(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid():
        pytest.skip("takes root")
    spool.path.touch()
    os.chown(spool.path, 65534, 65534)
    assert not spool.begin()
    assert [path.name for path in tmp_path.iterdir()] == [spool.path.name]
    assert "move it away" in caplog.text


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_a_lock_that_is_none_is_said_and_delivered_when_it_is_gone(
    spool: Spool, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    spool.add([make_record(path="/kept")])
    lock = spool.path.with_suffix(".spool-lock")
    if kind == "link":
        lock.symlink_to(tmp_path / "elsewhere")
    else:
        lock.mkdir()
    assert not spool.begin()
    assert "move it away" in caplog.text
    assert not (tmp_path / "elsewhere").exists()
    if kind == "link":
        lock.unlink()
    else:
        lock.rmdir()
    assert [record.path for record in drained(spool)] == ["/kept"]


def test_a_damaged_file_is_set_aside_once_whoever_else_had_it_open(
    spool: Spool, tmp_path: Path, counters: Counters
) -> None:
    """Two workers find the damage at the same moment: the second leaves the new file of the first alone."""
    file = SpoolFile(spool.path, LABEL)
    file.add([make_record(path="/old")], MIB)
    spool.path.rename(tmp_path / "set-aside-by-the-other")
    for suffix in ("-wal", "-shm"):
        Path(f"{spool.path}{suffix}").rename(tmp_path / f"set-aside-by-the-other{suffix}")
    assert spool.add([make_record(path="/new")])
    file._set_aside()
    file.close()
    assert [record.path for record in drained(spool)] == ["/new"]
    assert not [file for file in tmp_path.iterdir() if ".damaged" in file.name]


def test_what_was_delivered_but_cannot_be_taken_out_is_not_delivered_again(
    spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that another program has filled."""
    spool.add([make_record(path="/1")])
    spool.add([make_record(path="/2")])
    remove = SpoolFile.remove_up_to

    def full(file: SpoolFile, seq: int) -> int:
        raise SpoolError("database or disk is full")

    monkeypatch.setattr(SpoolFile, "remove_up_to", full)
    for path in ("/1", "/2"):
        assert spool.begin()
        piece = spool.oldest()
        assert piece is not None
        assert piece.records[0].path == path
        spool.remove(piece)
        assert spool.oldest() is None, "left alone for a while"
        spool.end()
        clock.now += 6
    spool.add([make_record(path="/3")])
    assert spool.size is not None
    assert spool.size[0] == 3
    monkeypatch.setattr(SpoolFile, "remove_up_to", remove)
    assert [record.path for record in drained(spool)] == ["/3"]
    assert spool.size == (0, 0)


def test_what_was_delivered_is_taken_out_of_no_other_file_than_the_one_it_was_read_from(
    spool: Spool, tmp_path: Path
) -> None:
    spool.add([make_record(path="/old")])
    assert spool.begin()
    piece = spool.oldest()
    assert piece is not None
    spool.path.rename(tmp_path / "set-aside")
    for suffix in ("-wal", "-shm"):
        Path(f"{spool.path}{suffix}").rename(tmp_path / f"set-aside{suffix}")
    spool.add([make_record(path="/new")])
    spool.remove(piece)
    spool.end()
    assert [record.path for record in drained(spool)] == ["/new"]


def test_the_note_of_a_killed_request_goes_behind_the_record_that_waits_in_the_spool(
    spool: Spool, counters: Counters
) -> None:
    record = make_record()
    note = record._replace(outcome=Outcome.KILLED, status=None)
    assert spool.add([record])
    chest = ScriptedChest()
    worker = ChestWorker(chest, counters, spool=spool)  # of a process that has seen no trouble of the chest
    batch = Batch([note], 1)
    worker.put_orphaned(batch)
    assert batch.is_settled
    worker.look_at_spool()
    while worker.step():
        pass
    assert [each.outcome for each in chest.kept] == ["ok", "killed"]
    later = Batch([note], 1)
    spool.path.unlink()
    worker.put_orphaned(later)
    assert not later.is_settled  # there is nothing that it could precede


def test_a_file_whose_maker_was_killed_before_it_named_its_store_has_the_name_before_it_has_records(
    tmp_path: Path,
) -> None:
    path = spool_path(tmp_path, LABEL)
    with closing(SpoolFile(path)) as unnamed:
        unnamed.size()
    assert look_into(path).chest == ""

    with closing(SpoolFile(path, LABEL)) as file:
        file.add([make_record(id="r1")], MIB)
    with closing(SpoolFile(path, "sqlite:///other.sqlite3")) as other:
        other.size()

    assert look_into(path).chest == LABEL
