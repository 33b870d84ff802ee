"""The recorder: settings, ring, exporter and chests put together."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chest import ChestMiddleware, Recorder, SettingsError
from chest.chests.memory import MemoryChest
from chest.chests.registry import sqlite_url
from chest.errors import ChestUnavailable, DirectoryError
from chest.recorder.directory_recovery import recover_directory
from tests.delivery.test_worker import ScriptedChest
from tests.processes import run_python, running_python
from tests.recorder.conftest import _OFFERING, Make, names_in, offered, stored_ids
from tests.support import make_record, wait_until

# -- before the first request ------------------------------------------------------------------------------------------


def test_importing_chest_starts_no_thread_opens_no_file_and_registers_nothing() -> None:
    code = """
        import atexit, logging, os, signal, sys, threading
        loggers = set(logging.root.manager.loggerDict)
        before = atexit._ncallbacks(), len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM), dict(os.environ)
        import chest
        after = atexit._ncallbacks(), len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM), dict(os.environ)
        handlers = [name for name in logging.root.manager.loggerDict if logging.getLogger(name).handlers]
        print(before[1:] == after[1:], threading.active_count(), logging.root.handlers, handlers)
        print(sorted({"sqlalchemy", "flask", "werkzeug", "gevent", "sqlite3"} & set(sys.modules)))
    """
    assert run_python(code).splitlines() == ["True 1 [] []", "[]"]


def test_nothing_is_made_before_the_first_request(tmp_path: Path, make: Make) -> None:
    threads = threading.active_count()
    recorder = make(sqlite_url(tmp_path / "store.sqlite3"))
    ChestMiddleware(lambda environ, start_response: [b""], recorder=recorder)
    assert names_in(tmp_path) == []
    assert threading.active_count() <= threads  # one of an earlier test may end meanwhile
    assert recorder.stats()["ring"] == {"is_durable": False, "capacity_bytes": 0, "pending_bytes": 0}
    assert not recorder.stats()["delivery_is_running"]


def test_a_recorder_that_was_never_used_is_flushed_and_closed_at_once(tmp_path: Path, make: Make) -> None:
    recorder = make()
    assert recorder.flush(0)
    assert recorder.close(0)
    assert names_in(tmp_path) == []


def test_options_of_the_request_are_refused() -> None:
    with pytest.raises(SettingsError, match="tracked_vars belong to the app"):
        Recorder(["memory:"], tracked_vars=["user_id"])


@pytest.mark.parametrize("end", [Recorder.flush, Recorder.close])
def test_a_record_offered_before_the_recorder_was_prepared_is_delivered(
    make: Make, end: Callable[[Recorder], bool]
) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    assert recorder.offer(make_record(recorder.request_side.record_ids))
    assert end(recorder)
    assert len(chest.records) == 1


# -- flush -------------------------------------------------------------------------------------------------------------


def test_a_flush_brings_what_was_offered_into_every_chest(tmp_path: Path, make: Make) -> None:
    memory = MemoryChest()
    recorder = make(memory, sqlite_url(tmp_path / "store.sqlite3"), flush_seconds=60.0)
    records = offered(recorder, 500)
    assert recorder.flush(60)
    assert memory.records == records
    assert stored_ids(tmp_path / "store.sqlite3") == [record.id for record in records]


def test_a_flush_is_not_kept_waiting_by_what_is_offered_after_it(make: Make) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    end = threading.Event()

    def offer_for_ever() -> None:
        while not end.is_set():
            recorder.offer(make_record(recorder.request_side.record_ids))

    recorder.prepare()
    threads = [threading.Thread(target=offer_for_ever) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            record = make_record(recorder.request_side.record_ids)
            wait_until(functools.partial(recorder.offer, record))
            assert recorder.flush(60).waiting == 0  # on a slow machine some are on disk
            is_there = record.id in {stored.id for stored in chest.records}
            assert is_there or recorder.stats()["spooled"]  # by a chest that is not asked often enough for all of that
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_a_flush_into_a_dead_chest_gives_up_in_time_and_says_so(make: Make) -> None:
    recorder = make(ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000))
    offered(recorder)
    begin = time.monotonic()
    assert not recorder.flush(0.2)
    assert time.monotonic() - begin < 20  # the chest is down for far longer


def test_a_flush_takes_at_most_shutdown_seconds_by_default(make: Make) -> None:
    recorder = make(ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000), shutdown_seconds=0.1)
    offered(recorder)
    begin = time.monotonic()
    assert not recorder.flush()
    assert 0.1 <= time.monotonic() - begin < 20


def test_a_flush_waits_for_the_slowest_chest(make: Make) -> None:
    shaky = ScriptedChest(ChestUnavailable("down", 0.05), ChestUnavailable("down", 0.05))
    steady = MemoryChest()
    recorder = make(steady, shaky)
    records = offered(recorder, 10)
    assert recorder.flush(60)
    assert steady.records == shaky.kept == records


# -- close -------------------------------------------------------------------------------------------------------------


def test_closing_delivers_what_there_is_and_removes_the_files(tmp_path: Path, make: Make) -> None:
    chest = MemoryChest()
    recorder = make(chest, flush_seconds=60.0)
    records = offered(recorder, 3000)
    assert len(names_in(tmp_path / "rings")) == 2
    assert recorder.close(60)
    assert chest.records == records
    assert names_in(tmp_path / "rings") == []
    assert not recorder.stats()["delivery_is_running"]


def test_closing_twice_is_harmless(make: Make) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    offered(recorder)
    assert recorder.close(60)
    assert recorder.close(60)
    assert recorder.flush(60)
    assert len(chest.records) == 1


def test_the_block_of_a_recorder_ends_with_its_close(tmp_path: Path) -> None:
    chest = MemoryChest()
    with Recorder([chest], directory=tmp_path, service="shop") as recorder:
        offered(recorder)
    assert len(chest.records) == 1
    assert names_in(tmp_path) == []


def test_what_is_offered_after_the_close_is_dropped_and_counted(make: Make) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    offered(recorder)
    recorder.close()
    assert not recorder.offer(make_record())
    recorder.prepare()
    assert not recorder.offer(make_record())
    assert len(chest.records) == 1
    assert recorder.stats()["dropped"] == {"closed": 2}


def test_what_a_dead_chest_did_not_take_before_the_close_is_delivered_by_the_next_recorder(
    tmp_path: Path, make: Make
) -> None:
    recorder = make(ScriptedChest(*[ChestUnavailable("down", 0.01)] * 100_000))
    records = offered(recorder, 20)
    assert not recorder.close(0.2)
    assert len(names_in(tmp_path / "rings")) == 2

    chest = MemoryChest()
    successor = make(chest)
    successor.prepare()
    wait_until(lambda: chest.records == records)
    wait_until(lambda: len(names_in(tmp_path / "rings")) == 2)
    assert successor.stats()["recovered"] == 20


def test_a_close_while_others_offer_loses_none_that_was_taken(make: Make) -> None:
    chest = MemoryChest()
    recorder = make(chest, ring_bytes=16 << 20)
    recorder.prepare()
    taken: list[list[str]] = [[] for _ in range(4)]

    def offer_until_refused(ids: list[str]) -> None:
        record = make_record(recorder.request_side.record_ids)
        while recorder.offer(record):
            ids.append(record.id)
            record = make_record(recorder.request_side.record_ids)

    threads = [threading.Thread(target=offer_until_refused, args=(ids,)) for ids in taken]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(map(len, taken)) > 500)
    assert recorder.close(60)
    for thread in threads:
        thread.join()
    assert sorted(record.id for record in chest.records) == sorted(itertools.chain(*taken))


# -- two recorders -----------------------------------------------------------------------------------------------------


def test_two_recorders_of_one_process_keep_apart(make: Make) -> None:
    chests = MemoryChest(), MemoryChest()
    recorders = [make(chest, name=name) for chest, name in zip(chests, ("main", "audit"), strict=True)]
    records = [offered(recorder, 20) for recorder in recorders]
    assert all(recorder.flush() for recorder in recorders)
    assert [chest.records for chest in chests] == records
    recorders[0].close()
    more = offered(recorders[1])
    assert recorders[1].flush()
    assert chests[1].records == records[1] + more


def test_two_recorders_of_one_name_do_not_take_each_other_s_rings(tmp_path: Path, make: Make) -> None:
    chests = MemoryChest(), MemoryChest()
    recorders = [make(chest) for chest in chests]
    for recorder, chest in zip(recorders, chests, strict=True):
        records = offered(recorder, 20)
        assert recorder.flush(60)
        assert chest.records == records
    assert len(names_in(tmp_path / "rings")) == 4


# -- recover_directory -------------------------------------------------------------------------------------------------


def test_recovering_what_is_not_a_directory_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="name the one that holds the \\.ring files"):
        recover_directory(tmp_path / "nowhere", [MemoryChest()])


def test_recovering_leaves_the_ring_of_a_living_process_and_says_how_many_are_left(tmp_path: Path) -> None:
    code = f"{_OFFERING}\n    recorder.prepare(); offer(50); print('ready', flush=True); sys.stdin.read()"
    with running_python(code, tmp_path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        chest = MemoryChest()
        recovered = recover_directory(tmp_path / "rings", [chest])
        assert (recovered.rings, recovered.records, recovered.left) == (0, 0, 1)
        owner.kill()
        owner.wait()
        recovered = recover_directory(tmp_path / "rings", [chest])
    assert (recovered.rings, recovered.records, recovered.left) == (1, 50, 0)
    assert len(chest.records) == 50


def test_recovering_into_a_chest_that_takes_nothing_raises_and_keeps_the_ring(tmp_path: Path) -> None:
    run_python(f"{_OFFERING}\n    recorder.prepare(); offer(50); os._exit(0)", tmp_path)
    with pytest.raises(ChestUnavailable, match="down"):
        recover_directory(tmp_path / "rings", [ScriptedChest(*[ChestUnavailable("down", 0.01)] * 10)])
    chest = MemoryChest()
    assert recover_directory(tmp_path / "rings", [chest]).records == 50


def test_in_the_process_that_uwsgi_forks_no_thread_is_started_and_what_it_records_waits_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chest.recorder.process_state.is_uwsgi_before_its_fork", lambda: True)
    chest = MemoryChest()
    recorder = Recorder([chest], directory=tmp_path, service="shop")
    recorder.prepare()
    record = make_record(
        recorder.request_side.record_ids, service="shop", release="", host=recorder.request_side.resource.host
    )
    assert recorder.offer(record)
    assert not recorder.stats()["delivery_is_running"]
    assert not recorder.close(), "it is not in its chest"
    assert chest.records == []
    recovered = recover_directory(tmp_path, [chest])
    assert (recovered.records, [stored.id for stored in chest.records]) == (1, [record.id])


def test_a_process_that_turns_out_not_to_be_forked_starts_its_thread_with_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_before = [True]
    monkeypatch.setattr("chest.recorder.process_state.is_uwsgi_before_its_fork", lambda: is_before[0])
    chest = MemoryChest()
    with Recorder([chest], directory=tmp_path, service="shop") as recorder:
        recorder.prepare()
        assert recorder.offer(make_record(recorder.request_side.record_ids))
        is_before[0] = False
        recorder.prepare()
        assert recorder.flush(60)
        assert len(chest.records) == 1
