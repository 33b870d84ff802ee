"""A recorder as it runs: its thread, its files, and the end of its process."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.delivery import own_ring
from chest.recorder.directory_recovery import recover_directory
from tests.delivery.test_worker import ScriptedChest
from tests.processes import run_python
from tests.recorder.conftest import _OFFERING, Make, names_in, offered, stored_ids
from tests.support import make_record, refuse_thread, wait_until, without_delivery_threads

# -- the thread --------------------------------------------------------------------------------------------------------


@pytest.fixture
def deadly_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter is ended once, with a chunk of the ring in its hands."""
    decode, errors = own_ring.decode_lines, [SystemExit("killed")]

    def decode_or_die(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return decode(*arguments, **options)

    monkeypatch.setattr(own_ring, "decode_lines", decode_or_die)


@pytest.mark.usefixtures("deadly_decoding")
def test_an_exporter_that_died_is_started_again_by_the_next_request_and_what_it_held_is_delivered(make: Make) -> None:
    chest = ScriptedChest()
    recorder = make(chest)
    first = offered(recorder, 10)
    wait_until(lambda: not recorder.stats()["delivery_is_running"])
    second = offered(recorder, 10)
    assert recorder.flush(60)
    assert chest.kept == first + second
    assert recorder.stats()["delivery_restarts"] == 1
    assert "killed" in recorder.stats()["last_error"]


@pytest.mark.usefixtures("deadly_decoding")
def test_a_process_in_which_the_exporter_died_and_no_request_came_any_more_delivers_at_its_close(make: Make) -> None:
    chest = ScriptedChest()
    recorder = make(chest)
    records = offered(recorder, 10)
    wait_until(lambda: not recorder.stats()["delivery_is_running"])
    assert recorder.offer(make_record(recorder.request_side.record_ids))
    assert recorder.close(60)
    assert chest.kept[:10] == records
    assert len(chest.kept) == 11


def test_if_no_thread_can_be_started_records_are_kept_and_delivered_by_a_flush(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_delivery_threads(monkeypatch, refuse_thread)
    chest = MemoryChest()
    recorder = make(chest)
    records = offered(recorder, 10)
    assert recorder.stats()["delivery_start_failed"] == 1
    assert recorder.flush(60)
    assert chest.records == records
    assert recorder.close(60)
    assert names_in(tmp_path / "rings") == []


def test_a_thread_that_could_not_be_started_is_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    with monkeypatch.context() as context:
        without_delivery_threads(context, refuse_thread)
        records = offered(recorder, 10)
    assert recorder.flush(60)
    assert recorder.stats()["delivery_is_running"]
    assert chest.records == records


def test_a_thread_that_could_not_be_started_is_tried_again_by_a_request_when_a_segment_is_full(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    chest = MemoryChest()
    recorder = make(chest)
    with monkeypatch.context() as context:
        without_delivery_threads(context, refuse_thread)
        offered(recorder)
    count = 1
    while recorder.request_side.fork_guard[0]:
        assert recorder.offer(make_record(recorder.request_side.record_ids))
        count += 1
    recorder.prepare()
    wait_until(lambda: len(chest.records) == count)


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_files_are_for_this_user_only(tmp_path: Path, make: Make) -> None:
    recorder = make()
    offered(recorder)
    assert stat.S_IMODE((tmp_path / "rings").stat().st_mode) == 0o700
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "rings").iterdir()}
    assert {".ring", ".lock"} <= set(modes)  # and what the exporter makes by then
    assert set(modes.values()) == {0o600}


def test_the_space_of_the_ring_is_reserved_when_it_is_opened(tmp_path: Path, make: Make) -> None:
    recorder = make(ring_bytes=4 << 20)
    recorder.prepare()
    [ring] = (tmp_path / "rings").glob("*.ring")
    assert ring.stat().st_blocks * 512 >= ring.stat().st_size >= 4 << 20


def _a_symbolic_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


def _open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_a_symbolic_link, "is a symbolic link"),
        (Path.touch, "is not a directory"),
        (_open_to_others, "can be written by other users"),
    ],
)
def test_a_directory_that_cannot_be_used_leaves_the_ring_in_memory_and_that_is_said_once(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(tmp_path / "rings")
    chest = MemoryChest()
    recorder = make(chest)
    with caplog.at_level(logging.WARNING, "chest"):
        records = offered(recorder, 10)
        assert recorder.flush(60)
        offered(recorder)
        assert recorder.flush(60)
    assert chest.records[:10] == records
    stats = recorder.stats()
    assert stats["ring_in_memory"] == 1
    assert not stats["ring"]["is_durable"]
    assert stats["ring"]["capacity_bytes"] == 1 << 20
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "The ring is in memory" in said[0]
    assert why in said[0]
    assert recorder.close(60)
    assert not [name for name in names_in(tmp_path) if name.endswith((".ring", ".lock"))]


def test_without_posix_fallocate_the_space_of_the_ring_is_reserved_by_writing(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    recorder = make()
    offered(recorder)
    [ring] = (tmp_path / "rings").glob("*.ring")
    assert ring.stat().st_blocks * 512 >= ring.stat().st_size
    assert recorder.stats()["ring"]["is_durable"]


# -- the end of a process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "threading.Thread(target=offer, args=(1,)).start()"])
def test_a_process_that_ends_delivers_what_it_recorded(tmp_path: Path, ending: str) -> None:
    run_python(f"{_OFFERING}\n    recorder.prepare(); offer(500)\n    {ending}", tmp_path)
    assert len(stored_ids(tmp_path / "store.sqlite3")) == 500 + ("target=offer" in ending)
    assert names_in(tmp_path / "rings") == []


def test_a_process_that_ends_without_cleaning_up_leaves_its_records_to_the_next_one(tmp_path: Path) -> None:
    run_python(f"{_OFFERING}\n    recorder.prepare(); offer(500); os._exit(0)", tmp_path)
    assert len(names_in(tmp_path / "rings")) == 2
    run_python(f"{_OFFERING}\n    recorder.prepare(); offer(1); recorder.flush()", tmp_path)
    assert len(stored_ids(tmp_path / "store.sqlite3")) == 501
    assert names_in(tmp_path / "rings") == []


def test_a_child_that_ends_by_multiprocessing_leaves_its_records_to_its_parent(tmp_path: Path) -> None:
    code = f"""{_OFFERING}
    import multiprocessing
    if __name__ == "__main__":
        recorder.prepare()
        offer(100)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=offer, args=(100,)) for _ in range(3)]
        for child in children: child.start()
        for child in children: child.join()
        print([child.exitcode for child in children])
    """
    assert run_python(code, tmp_path).strip() == "[0, 0, 0]"
    left = recover_directory(tmp_path / "rings", [open_chest(sqlite_url(tmp_path / "store.sqlite3"))])
    ids = stored_ids(tmp_path / "store.sqlite3")
    assert len(ids) == len(set(ids)) == 400
    assert left.left == 0


def test_a_process_that_only_forked_children_does_not_send_their_records_nor_they_its_own(tmp_path: Path) -> None:
    code = f"""{_OFFERING}
    offer(1)
    assert recorder.flush(60)  # a child that is forked while the store is opened leaves its records to the next process
    offer(100)
    child = os.fork()
    if not child:
        assert recorder.stats()["ring"]["pending_bytes"] == 0, recorder.stats()
        assert not recorder.stats()["delivery_is_running"]
        offer(50)
        assert recorder.stats()["delivery_is_running"]
        assert recorder.close(60)
        assert recorder.stats()["taken"] == 50, recorder.stats()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert recorder.close(60)
    assert recorder.stats()["taken"] == 101, recorder.stats()
    """
    run_python(code, tmp_path)
    ids = stored_ids(tmp_path / "store.sqlite3")
    assert len(ids) == len(set(ids)) == 151
    assert names_in(tmp_path / "rings") == []


def test_a_recorder_that_is_off_makes_nothing_in_a_forked_child_either(tmp_path: Path) -> None:
    code = """
        import os, sys, threading
        from pathlib import Path
        from chest import ChestMiddleware
        directory = Path(sys.argv[1])
        app = ChestMiddleware(lambda environ, start_response: [b""], directory=directory / "rings", enabled=False)
        child = os.fork()
        if not child:
            os._exit(len(list(directory.iterdir())) + len(os.listdir("/proc/self/task")) - 1)
        assert os.waitpid(child, 0)[1] == 0
    """
    run_python(code, tmp_path)


def test_a_close_in_a_child_leaves_the_parent_s_recorder_alone(tmp_path: Path) -> None:
    code = f"""{_OFFERING}
    recorder.prepare()
    offer(100)
    child = os.fork()
    if not child:
        recorder.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    offer(100)
    assert recorder.flush(60)
    """
    run_python(code, tmp_path)
    assert len(stored_ids(tmp_path / "store.sqlite3")) == 200


def test_a_child_of_a_process_that_delivers_before_its_termination_has_nothing_of_its_parent_s_to_end(
    tmp_path: Path,
) -> None:
    code = f"""{_OFFERING}
    import time
    from chest.recorder.ending.last_delivery import LastDelivery
    recorder.prepare()
    offer(100)
    recorder.lifecycle.finish_before_termination(time.monotonic() + 20)
    child = os.fork()
    if not child:
        ended = []
        LastDelivery.finish = lambda *_, **__: ended.append(1)
        recorder.close()
        os._exit(len(ended))
    assert os.waitpid(child, 0)[1] == 0
    """
    run_python(code, tmp_path)
    assert len(stored_ids(tmp_path / "store.sqlite3")) == 100
