"""A SIGTERM whose default action ends the process: what is delivered before, and everything that is left as it was."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from chest.chests.memory import MemoryChest
from chest.native import IS_NATIVE
from chest.recorder.directory_recovery import recover_directory
from tests.processes import catches_sigterm, running_python
from tests.support import wait_until

pytestmark = pytest.mark.skipif(not IS_NATIVE, reason="needs the compiled part")

_BEGIN = """
    import atexit, multiprocessing, os, signal, sys, threading, time, warnings
    from pathlib import Path
    from chest import ChestMiddleware, Recorder
    from chest.chests.memory import MemoryChest
    from tests.processes import catches_sigterm
    from tests.support import make_record, wait_until

    warnings.simplefilter("ignore", DeprecationWarning)
    place = Path(sys.argv[1])

    class Stuck(MemoryChest):
        def write(self, records):
            time.sleep(600)

    def recorder_of(*chests, seconds=8.0, **options):
        return Recorder(
            chests or [f"sqlite:///{place}/store.sqlite3"], directory=place / "rings", ring_bytes=1 << 20,
            shutdown_seconds=seconds, flush_seconds=30, **options,
        )

    def record(recorder):
        recorder.prepare()
        assert recorder.offer(make_record(recorder.request_side.record_ids))

    def ready():
        wait_until(lambda: catches_sigterm(os.getpid()))
        print("ready", flush=True)
"""
_RECORD = """
    recorder = recorder_of()
    record(recorder)
    ready()
    time.sleep(600)
"""


def _wait_for_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _stored(place: Path) -> int:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(place / "store.sqlite3")) as connection:
        return int(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0])
    return 0


def _rings(place: Path) -> list[str]:
    """What is left beside the list of stores, which stays."""
    return [path.name for path in (place / "rings").iterdir() if path.suffix in (".ring", ".lock", ".group")]


def test_what_was_not_delivered_is_before_the_process_dies_of_the_signal(tmp_path: Path) -> None:
    with running_python(_BEGIN + _RECORD, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        assert _stored(tmp_path) == 0
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert (_stored(tmp_path), _rings(tmp_path)) == (1, [])


def test_the_signal_may_come_while_a_thread_computes_and_all_recorders_of_the_process_deliver(tmp_path: Path) -> None:
    code = """
    recorder, other = recorder_of(), recorder_of(name="other")
    record(recorder)
    record(other)
    threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)], daemon=True).start()
    ready()
    threading.Event().wait()
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert (_stored(tmp_path), _rings(tmp_path)) == (2, [])


def test_a_request_that_the_signal_ends_leaves_its_record(tmp_path: Path) -> None:
    code = """
    def answer(environ, start_response):
        ready()
        time.sleep(600)

    app = ChestMiddleware(answer, recorder=recorder_of())
    app({"PATH_INFO": "/slow", "REQUEST_METHOD": "GET"}, lambda *_: print)
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    chest = MemoryChest()
    recover_directory(tmp_path / "rings", [chest])
    assert [(record.path, record.outcome) for record in chest.records] == [("/slow", "killed")]


def test_a_store_that_hangs_delays_the_end_by_no_more_than_its_time_and_the_ring_keeps_the_record(
    tmp_path: Path,
) -> None:
    code = _RECORD.replace("recorder_of()", "recorder_of(Stuck(), seconds=0.5)")
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    chest = MemoryChest()
    assert recover_directory(tmp_path / "rings", [chest]).records == 1


def test_an_interpreter_that_runs_no_thread_is_ended_by_the_timer(tmp_path: Path) -> None:
    code = """
    import itertools
    recorder = recorder_of(seconds=0.5)
    record(recorder)
    ready()
    sum(itertools.repeat(0))  # never gives the interpreter's lock up
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    chest = MemoryChest()
    assert recover_directory(tmp_path / "rings", [chest]).records == 1


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    code = _RECORD.replace("recorder_of()", "recorder_of(Stuck(), seconds=300)")
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        wait_until(lambda: not catches_sigterm(process.pid))
        time.sleep(0.2)
        assert process.poll() is None
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM


def test_a_forked_child_dies_at_once_as_ever_and_leaves_its_parent_alone(tmp_path: Path) -> None:
    code = """
    recorder = recorder_of(Stuck(), seconds=300)
    record(recorder)
    wait_until(lambda: catches_sigterm(os.getpid()))
    child = os.fork()
    if not child:
        time.sleep(600)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert catches_sigterm(os.getpid())
    print("ready", flush=True)
    os._exit(0)
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"


def test_a_child_of_multiprocessing_that_is_terminated_delivers_its_own_records(tmp_path: Path) -> None:
    code = """
    recorder = recorder_of()
    record(recorder)
    wait_until(recorder.flush)  # a child that is forked while its parent writes would not dare to
    wait_until(lambda: catches_sigterm(os.getpid()))

    def work():
        before = len(os.listdir("/proc/self/task"))
        record(recorder)
        # The handler is there from the parent; the exporter, and then the thread that waits, come with the first record.
        wait_until(lambda: len(os.listdir("/proc/self/task")) >= before + 2)
        connection.send("recorded")
        time.sleep(600)

    processes = multiprocessing.get_context("fork")
    there, connection = processes.Pipe(False)
    child = processes.Process(target=work)
    child.start()
    assert there.recv() == "recorded"
    child.terminate()
    child.join(60)
    assert child.exitcode == -signal.SIGTERM, child.exitcode
    print("ready", flush=True)
    time.sleep(600)
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        assert _stored(tmp_path) == 2
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert (_stored(tmp_path), _rings(tmp_path)) == (2, [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_application_is_the_one_that_runs(tmp_path: Path, when: str) -> None:
    code = """
    def own(number, frame):
        print("own", flush=True)
        os._exit(7)

    recorder = recorder_of()
    if WHEN == "before":
        signal.signal(signal.SIGTERM, own)
    record(recorder)
    if WHEN == "after":
        wait_until(lambda: catches_sigterm(os.getpid()))
        assert signal.signal(signal.SIGTERM, own) is signal.SIG_DFL
    assert recorder.flush(60)
    ready()
    while True:
        time.sleep(1)
    """
    with running_python(_BEGIN + code.replace("WHEN", repr(when)), tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        process.terminate()
        assert process.wait(60) == 7
        assert _wait_for_line(process) == "own"


def test_an_ignored_signal_stays_so_and_python_is_told_of_no_handler(tmp_path: Path) -> None:
    code = """
    ignored = os.fork()
    if not ignored:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    recorder = recorder_of()
    record(recorder)
    if not ignored:
        assert recorder.flush(60)
        os.kill(os.getpid(), signal.SIGTERM)
        assert not catches_sigterm(os.getpid())
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(ignored, 0)[1]) == 0
    wait_until(lambda: catches_sigterm(os.getpid()))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("ready", flush=True)
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        assert process.wait(60) == 0


def test_the_default_action_is_back_when_the_exit_handlers_have_delivered(tmp_path: Path) -> None:
    code = """
    atexit.register(lambda: print(catches_sigterm(os.getpid()), len(os.listdir("/proc/self/task")), flush=True))
    recorder = recorder_of()
    record(recorder)
    ready()
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        assert _wait_for_line(process).startswith("False ")
        assert process.wait(60) == 0
    assert _stored(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="needs fork")
def test_a_signal_during_the_exit_handlers_ends_the_process_and_its_records_are_delivered(tmp_path: Path) -> None:
    code = """
    recorder = recorder_of()
    record(recorder)
    ready()
    atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(600)))
    """
    with running_python(_BEGIN + code, tmp_path) as process:
        assert _wait_for_line(process) == "ready"
        assert process.wait(60) == -signal.SIGTERM
    assert (_stored(tmp_path), _rings(tmp_path)) == (1, [])
