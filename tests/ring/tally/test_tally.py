"""Counts of requests in mapped memory: exact, bounded, and there when their process is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chest.native import IS_NATIVE
from chest.ring.tally.gathering import SUM_SUFFIX, gather
from chest.ring.tally.owned_tally_file import SUFFIX, OwnedTallyFile
from chest.ring.tally.table import (
    BOUNDS_NS,
    BUCKETS,
    MOST_ID_BYTES,
    SLOT_COUNT,
    Exemplar,
    Series,
    UnreadableTableError,
    read_table,
    table_in_memory,
)
from chest.ring.tally.tally import OVERFLOW, Tally

GET = ("GET", "/items/<id>", "200", "", "")
SECOND = 1_000_000_000


@pytest.fixture
def tally() -> Tally:
    return Tally()


def counted(tally: Tally) -> list[Series]:
    return [each for each in table_in_memory(tally.memory).series if any(each.buckets)]


def test_a_request_is_in_the_bucket_of_the_bound_that_it_did_not_exceed(tally: Tally) -> None:
    place = tally.place_of("key", GET)
    for bound in BOUNDS_NS:
        tally.count(place, 0, bound, "r")
        tally.count(place, 0, bound + 1, "r")
    (series,) = counted(tally)
    assert series.buckets == (1, *[2] * (BUCKETS - 2), 1)
    assert series.sum_ns == sum(2 * bound + 1 for bound in BOUNDS_NS)


def test_the_exemplar_is_the_slowest_of_the_last_seconds_and_no_id_that_is_too_long(tally: Tally) -> None:
    place = tally.place_of("key", GET)
    for request_id, seconds, duration_ns in (
        ("a", 100, 5), ("b", 101, 9), ("c", 102, 7), ("x" * (MOST_ID_BYTES + 1), 103, 99), ("ü", 103, 99),
    ):  # fmt: skip
        tally.count(place, seconds * SECOND, duration_ns, request_id)
    assert counted(tally)[0].exemplar == Exemplar("b", 101 * SECOND, 9)
    tally.count(place, 120 * SECOND, 3, "y" * MOST_ID_BYTES)
    assert counted(tally)[0].exemplar == Exemplar("y" * MOST_ID_BYTES, 120 * SECOND, 3)


def test_labels_that_find_no_room_are_counted_together(tally: Tally) -> None:
    for number in range(SLOT_COUNT + 100):
        tally.count(tally.place_of(number, ("GET", f"/{number}", "200", "", "")), 0, 1, "r")
    tally.count(tally.place_of("long", ("GET", "/" + "a" * 300, "200", "", "")), 0, 1, "r")
    found = {series.labels: sum(series.buckets) for series in counted(tally)}
    assert len(found) == SLOT_COUNT
    assert found[OVERFLOW] == 102
    assert sum(found.values()) == SLOT_COUNT + 101


def test_what_is_known_of_requests_does_not_grow_without_a_bound(tally: Tally) -> None:
    for number in range(10_000):
        tally.place_of(f"GET {number}", GET)
    assert len(tally.known) < 5_000


def test_a_forked_child_counts_although_a_thread_of_its_parent_had_the_locks(tally: Tally) -> None:
    tally._placing.acquire()
    if not IS_NATIVE:
        tally._counting.acquire()
    tally.begin({})
    tally.count(tally.place_of("key", GET), 0, 1, "r")
    assert [series.labels for series in counted(tally)] == [GET]


def test_no_count_of_threads_is_lost(tally: Tally) -> None:
    place = tally.place_of("key", GET)

    def count() -> None:
        for _ in range(5_000):
            tally.count(place, 0, 1, "r")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counted(tally)[0].buckets) == 20_000


@pytest.mark.skipif(not IS_NATIVE, reason="there is no compiled part")
@pytest.mark.parametrize("place", [-1, 0, 16384 + 4, 2**40])
def test_a_place_that_is_none_is_refused(place: int) -> None:
    with pytest.raises((ValueError, OverflowError), match=r"outside|too large"):  # than a place of 32 bits
        Tally().count(place, 0, 1, "r")


@pytest.mark.kept_memory
def test_what_was_counted_before_there_was_a_file_moves_into_it(tally: Tally, tmp_path: Path) -> None:
    place = tally.place_of("key", GET)
    tally.count(place, 0, 1, "r")
    file = OwnedTallyFile.create(tmp_path, "main.x", tally)
    tally.count(place, 0, 1, "r")
    assert sum(read_table(file.path).series[1].buckets) == 2
    assert file.is_intact
    file.path.unlink()
    assert not file.is_intact
    file.let_go()


def test_figures_that_are_too_many_leave_those_that_were_there(tally: Tally) -> None:
    assert tally.tell({"counts": {"a": 1}})
    assert not tally.tell({"counts": {"a": "x" * 20_000}})
    assert table_in_memory(tally.memory).figures == {"counts": {"a": 1}}


@pytest.mark.parametrize("content", [b"", b"CHESTTLY" + bytes(5000), b"nothing of ours" + bytes(5000)])
def test_a_file_that_is_not_a_table_is_told_from_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"main.x.1.a{SUFFIX}"
    path.write_bytes(content)
    with pytest.raises(UnreadableTableError):
        read_table(path)
    assert gather(tmp_path, "main.x").series == []
    assert path.exists(), "another release may read it"


_COUNTING = """
import os, pathlib, signal, sys
from chest.ring.tally.owned_tally_file import OwnedTallyFile
from chest.ring.tally.tally import Tally
tally = Tally()
file = OwnedTallyFile.create(pathlib.Path(sys.argv[1]), "main.x", tally)
place = tally.place_of("key", ("GET", "/items/<id>", "200", "", ""))
for _ in range(1000):
    tally.count(place, 0, 1, "r")
tally.tell({"counts": {"dropped.ring_full": 3}})
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print("counted", flush=True)
input()
"""


def _process(directory: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COUNTING, str(directory), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _kill_one_that_counts(directory: Path) -> None:
    with _process(directory, "killed") as process:
        assert process.wait(60) == -9


@pytest.mark.kept_memory
def test_living_and_killed_processes_are_added_up_and_nothing_piles_up(tmp_path: Path) -> None:
    for _ in range(3):
        _kill_one_that_counts(tmp_path)
    with _process(tmp_path, "living") as living:
        assert living.stdout is not None
        assert living.stdin is not None
        assert living.stdout.readline() == "counted\n"
        for _ in range(2):
            gathered = gather(tmp_path, "main.x")
            assert [(each.labels, sum(each.buckets)) for each in gathered.series] == [(GET, 4000)]
            assert gathered.counts == {"dropped.ring_full": 12}
            assert len(gathered.living) == 1
        assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 1
        living.stdin.write("\n")
    assert [sum(each.buckets) for each in gather(tmp_path, "main.x").series] == [4000]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"main.x{SUM_SUFFIX}", f"main.x{SUM_SUFFIX}-lock"]
    assert gather(tmp_path, "main.y").series == [], "of another service"


@pytest.mark.kept_memory
def test_a_process_that_was_killed_while_it_added_up_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kill_one_that_counts(tmp_path)

    class Killed(BaseException):
        pass

    def unlink(path: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(os, "unlink", unlink)
        with pytest.raises(Killed):
            gather(tmp_path, "main.x")
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 1
    for _ in range(2):
        assert [sum(each.buckets) for each in gather(tmp_path, "main.x").series] == [1000]
    assert list(tmp_path.glob(f"*{SUFFIX}")) == []


@pytest.mark.kept_memory
def test_a_file_without_its_lock_is_that_of_a_living_process_for_a_minute(tmp_path: Path) -> None:
    _kill_one_that_counts(tmp_path)
    (lock,) = tmp_path.glob("*.tally-lock")
    lock.unlink()
    assert len(gather(tmp_path, "main.x").living) == 1
    (table,) = tmp_path.glob(f"*{SUFFIX}")
    os.utime(table, (time.time() - 100,) * 2)
    assert gather(tmp_path, "main.x").living == []
