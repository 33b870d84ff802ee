"""One connection, held, and not through a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chest.chests.sql.columns import STORED_COLUMNS
from chest.chests.sql.rows import rows_of
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.sql.sqlite.table import insert
from chest.chests.sql.sqlite.target import DEFAULT_BUSY_TIMEOUT_MS
from chest.errors import ChestUnavailable
from chest.system import fork_safe_connection
from chest.system.fork_safe_connection import ForkSafeConnection
from chest.testing.contract import in_child
from chest.testing.records import make_record
from tests.processes import fork_without_hooks

Execute = Callable[..., list[tuple[Any, ...]]]

pytestmark = pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="no fork on this platform")

_OTHER = """
import sys
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.testing.records import make_record

with SQLiteChest(sys.argv[1]) as chest:
    chest.write([make_record(request_id=sys.argv[2])])
"""


class Child:
    """A forked child that takes its steps when it is told to."""

    def __init__(self, *steps: Callable[[], Any], fork: Callable[[], int]) -> None:
        (orders, self._order), (self._answer, answers) = os.pipe(), os.pipe()
        self._pid = fork()
        if self._pid == 0:
            os.close(self._order)
            self._work(steps, orders, answers)
        os.close(orders)
        os.close(answers)

    def _work(self, steps: tuple[Callable[[], Any], ...], orders: int, answers: int) -> None:
        try:
            for step in steps:
                os.read(orders, 1)
                step()
                os.write(answers, b".")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def step(self) -> None:
        """Let it take its next step; fails when the child does."""
        os.write(self._order, b".")
        assert os.read(self._answer, 1) == b".", "the step failed in the child"

    def end(self) -> None:
        os.close(self._order)
        os.close(self._answer)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_a_child_has_locks_of_its_own_when_its_parent_has_let_go(
    chest: SQLiteChest, url: str, execute: Execute, fork: Callable[[], int]
) -> None:
    chest.write([make_record(request_id="before")])
    chest.read()
    child = Child(
        lambda: chest.write([make_record(request_id="child")]),
        lambda: chest.write([make_record(request_id="child again")]),
        chest.close,
        fork=fork,
    )
    child.step()
    chest.close()
    # Were the child's locks only remembered from its parent, this process would take itself for the only one, and end
    # by deleting the log that the child still writes to.
    subprocess.run([sys.executable, "-c", _OTHER, url, "other"], timeout=300, check=True)
    child.step()
    subprocess.run([sys.executable, "-c", _OTHER, url, "another"], timeout=300, check=True)
    child.step()
    child.end()
    stored = {request_id for (request_id,) in execute("SELECT request_id FROM chest_records")}
    assert stored == {"before", "child", "other", "child again", "another"}
    assert execute("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_the_parent_goes_on_while_a_child_begins_and_ends(
    chest: SQLiteChest, execute: Execute, fork: Callable[[], int]
) -> None:
    for number in range(5):
        chest.write([make_record(request_id=f"parent {number}")])
        child = Child(lambda: chest.write([make_record(request_id="child")]), chest.close, fork=fork)
        child.step()
        chest.write([make_record(request_id=f"parent {number} again")])
        child.step()
        child.end()
    assert execute("SELECT count(*) FROM chest_records") == [(15,)]
    assert execute("PRAGMA integrity_check") == [("ok",)]


def test_a_fork_waits_for_the_write_in_hand(url: str, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fork_safe_connection, "_FORK_WAIT_FOR_FILE_SECONDS", 60
    )  # on a busy machine a write takes its time
    ended, chest = threading.Event(), SQLiteChest(f"{url}?busy_timeout_ms=60000")

    def write() -> None:
        while not ended.is_set():
            chest.write([make_record() for _ in range(200)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            in_child(lambda: chest.write([make_record(request_id="child")]))
    finally:
        ended.set()
        writer.join()
        chest.close()
    assert execute("SELECT count(*) FROM chest_records WHERE request_id = 'child'") == [(15,)]
    assert execute("PRAGMA integrity_check") == [("ok",)]


def test_a_fork_waits_longer_than_a_write_waits_for_a_lock(chest: SQLiteChest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that was forked in the middle of a write delivers nothing for its whole life."""
    waits = []

    def hold_still(self: Any, timeout_seconds: float) -> bool:
        if self is chest.writing:
            waits.append(timeout_seconds)
        return False

    monkeypatch.setattr(ForkSafeConnection, "hold_still", hold_still)
    in_child(lambda: None)
    assert [wait > DEFAULT_BUSY_TIMEOUT_MS / 1000 for wait in waits] == [True]


def test_a_child_of_a_fork_in_the_middle_of_a_write_refuses_to_touch_the_database(
    chest: SQLiteChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_safe_connection, "_FORK_WAIT_FOR_FILE_SECONDS", 0.01)
    begun, ended = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with chest.writing.use():
            begun.set()
            ended.wait()

    def refused() -> None:
        for call in (lambda: chest.write([make_record()]), chest.open, chest.close):
            with pytest.raises(ChestUnavailable, match="was forked while its parent was writing"):
                call()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    begun.wait()
    in_child(refused)
    ended.set()
    writer.join()
    chest.write([make_record()])
    assert len(chest.read()) == 1


@contextmanager
def _in_use(chest: SQLiteChest) -> Iterator[None]:
    """The chest's connection is in use by another thread for the block."""
    begun, ended = threading.Event(), threading.Event()

    def use() -> None:
        with chest.writing.use():
            begun.set()
            ended.wait()

    user = threading.Thread(target=use)
    user.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        user.join()


@pytest.fixture
def chests(tmp_path: Path) -> Iterator[list[SQLiteChest]]:
    with ExitStack() as stack:
        yield [stack.enter_context(SQLiteChest(f"sqlite:///{tmp_path / str(place)}.db")) for place in range(6)]


def _require_usable(chests: list[SQLiteChest]) -> None:
    for chest in chests:
        for connection in (chest.writing, chest.reading):
            assert connection.hold_still(10), "locked for ever"
            connection.go_on()


def test_threads_that_fork_at_once_beside_a_use_leave_no_connection_locked(
    chests: list[SQLiteChest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_safe_connection, "_FORK_WAIT_FOR_FILE_SECONDS", 0.1)

    def fork() -> None:
        for _ in range(10):
            in_child(lambda: None)

    with _in_use(chests[3]):
        threads = [threading.Thread(target=fork) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _require_usable(chests)


def test_a_signal_handler_that_raises_while_a_fork_waits_leaves_no_connection_locked(
    chests: list[SQLiteChest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_safe_connection, "_FORK_WAIT_FOR_FILE_SECONDS", 1)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # Python ignores what a hook raises

    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with _in_use(chests[3]):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with suppress(TimeoutError):
                in_child(lambda: None)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    _require_usable(chests)


def test_a_fork_does_not_wait_for_a_use_of_its_own_thread(chest: SQLiteChest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_safe_connection, "_FORK_WAIT_FOR_FILE_SECONDS", 600)
    with chest.writing.use():
        in_child(lambda: None)
    chest.write([make_record()])


def test_a_chest_that_is_gone_does_not_matter_to_a_fork(url: str, path: Path) -> None:
    chest = SQLiteChest(url)
    chest.write([make_record()])
    chest.close()
    del chest
    in_child(path.exists)


def test_many_threads_may_write_by_one_chest(chest: SQLiteChest) -> None:
    def write() -> None:
        for _ in range(20):
            chest.write([make_record() for _ in range(3)])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chest.read()) == 4 * 20 * 3


def _insert(connection: Any) -> None:
    connection.execute("BEGIN IMMEDIATE")
    insert(connection, "chest_records", STORED_COLUMNS, rows_of([make_record()], "now"))


def test_what_a_use_did_not_commit_is_undone(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    with chest.writing.use() as connection:
        _insert(connection)
    assert execute("SELECT count(*) FROM chest_records") == [(0,)]


def test_an_interrupted_use_leaves_no_lock_behind(chest: SQLiteChest, execute: Execute) -> None:
    chest.open()
    with pytest.raises(KeyboardInterrupt), chest.writing.use() as connection:  # noqa: PT012 - the interrupt comes in it
        _insert(connection)
        raise KeyboardInterrupt
    execute("DELETE FROM chest_records")
    chest.write([make_record()])
    assert len(chest.read()) == 1
