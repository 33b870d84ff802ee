"""Requests that are being served when their process ends: recorded as killed, once, by the next process."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import textwrap
from pathlib import Path

import pytest

from tests.kill.load import Ledger
from tests.processes import run_python

_SERVING = """
    import os, signal, sys, threading, time
    from pathlib import Path
    from chest import Recorder
    from chest.chests.registry import sqlite_url
    from tests.support import make_record

    recorder = Recorder(
        [sqlite_url(Path(sys.argv[2]))], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, flush_seconds=0.02
    )
    recorder.prepare()

    def begin(path):
        now = time.time_ns()
        record = make_record(recorder.request_side.record_ids, time_ns=now, path=path, request_id=path)
        return record, recorder.request_side.in_flight.begin(record.id[16:], path, now, "GET", path)

    def serve(path):
        record, slot = begin(path)
        recorder.offer(record)
        recorder.request_side.in_flight.end(slot)
"""


def outcomes(ledger: Ledger) -> list[tuple[str, str]]:
    if not ledger.store.exists():
        return []
    with contextlib.closing(sqlite3.connect(ledger.store)) as connection:
        return sorted(connection.execute("SELECT path, outcome FROM chest_records").fetchall())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


@pytest.mark.parametrize("is_delivered", [False, True], ids=["", "delivered"])
def test_a_request_whose_process_is_killed_is_recorded_by_the_next_one(ledger: Ledger, is_delivered: bool) -> None:
    code = f"""{_SERVING}
    serve("/done")
    under_way = begin("/under-way")
    record, slot = begin("/in-the-ring")  # killed between the record and saying so
    recorder.offer(record)
    if {is_delivered}:
        assert recorder.flush(60)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(AssertionError, match="ended with -9"):
        run_python(code, ledger.rings, ledger.store)
    run_python(f'{_SERVING}\n    serve("/next"); time.sleep(0.3); recorder.flush(10)', ledger.rings, ledger.store)
    assert outcomes(ledger) == [("/done", "ok"), ("/in-the-ring", "ok"), ("/next", "ok"), ("/under-way", "killed")]
    assert ledger.rings_left() == []


def test_a_request_in_another_thread_when_the_process_exits_is_recorded_as_killed(ledger: Ledger) -> None:
    code = f"""{_SERVING}
    def slow():
        slow_one = begin("/slow")
        started.set()
        time.sleep(60)
    started = threading.Event()
    threading.Thread(target=slow, daemon=True).start()
    started.wait()
    serve("/done")
    """
    run_python(code, ledger.rings, ledger.store)
    assert outcomes(ledger) == [("/done", "ok")]
    assert ledger.recover().records == 1
    assert outcomes(ledger) == [("/done", "ok"), ("/slow", "killed")]


def test_a_recorder_that_is_closed_while_a_request_goes_on_does_not_call_it_killed(ledger: Ledger) -> None:
    code = f"""{_SERVING}
    record, slot = begin("/goes-on")
    assert recorder.close(60)
    recorder.request_side.in_flight.end(slot)
    """
    run_python(code, ledger.rings, ledger.store)
    assert ledger.rings_left() == []
    assert ledger.recover().records == 0


def test_a_child_forked_in_a_request_neither_ends_nor_repeats_its_parent_s(ledger: Ledger) -> None:
    code = f"""{_SERVING}
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    record, slot = begin("/parent")
    if not os.fork():
        recorder.request_side.in_flight.end(slot)  # it leaves the request by the same way
        recorder.prepare()  # as the middleware does, before its first request
        child_s = begin("/child")
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(AssertionError, match="ended with -9"):
        run_python(code, ledger.rings, ledger.store)
    ledger.recover()
    assert outcomes(ledger) == [("/child", "killed"), ("/parent", "killed")]


def test_with_the_option_off_nothing_is_noted(ledger: Ledger) -> None:
    code = f"""{_SERVING.replace("flush_seconds=0.02", "flush_seconds=0.02, in_flight=False")}
    print(recorder.request_side.in_flight, recorder.stats()["in_flight"])
    """
    assert run_python(code, ledger.rings, ledger.store).split() == ["None", "0"]


def test_a_package_that_is_loaded_twice_takes_no_ring_that_its_other_copy_writes_into(ledger: Ledger) -> None:
    code = f"""{_SERVING}
    record, slot = begin("/answered")
    for name in [name for name in sys.modules if name.startswith("chest")]:
        del sys.modules[name]
    from chest import Recorder as Second
    from chest.chests.memory import MemoryChest
    from chest.recorder.directory_recovery import recover_directory
    assert Second is not Recorder
    second = Second([sqlite_url(Path(sys.argv[2]))], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20)
    second.prepare()
    chest = MemoryChest()
    found = recover_directory(Path(sys.argv[1]), [chest])
    assert (found.rings, found.left, len(chest.records)) == (0, 2, 0), found
    recorder.offer(record)
    recorder.request_side.in_flight.end(slot)
    assert recorder.close(60) and second.close()
    """
    run_python(code, ledger.rings, ledger.store)
    assert outcomes(ledger) == [("/answered", "ok")]
    assert ledger.rings_left() == []


def test_two_interpreters_of_one_process_take_no_ring_from_each_other(tmp_path: Path) -> None:
    (tmp_path / "rings").mkdir(mode=0o700)
    interpreter = f"""
    import os, sys
    from pathlib import Path
    from chest import Recorder
    from chest.recorder.directory_recovery import recover_directory
    from chest.chests.memory import MemoryChest
    from tests.support import make_record
    place = Path({str(tmp_path)!r})
    recorder = Recorder([f"ndjson:{{place}}/records.ndjson"], directory=place / "rings", service="shop", ring_bytes=1 << 20)
    recorder.prepare()
    for _ in range(50):
        recorder.offer(make_record(recorder.request_side.record_ids))
    found = recover_directory(place / "rings", [MemoryChest()])
    (place / "found").open("a").write(f"{{found.rings}} {{found.left}}\\n")
    """
    code = f"""{interpreter}
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    other = interpreters.create()
    interpreters.run_string(other, {textwrap.dedent(interpreter)!r} + "assert recorder.close(60)")
    interpreters.destroy(other)
    assert recorder.close(60)
    """
    run_python(code)
    assert (tmp_path / "found").read_text().split() == ["0", "1", "0", "2"]
    lines = (tmp_path / "records.ndjson").read_text().splitlines()
    assert (len(lines), len({json.loads(line)["id"] for line in lines})) == (100, 100)
    assert list((tmp_path / "rings").iterdir()) == []
