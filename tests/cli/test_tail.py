"""``chest tail``: the records stored last, and each one that comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result

from chest.chests.contract import Cursor, StoredRecord
from chest.chests.memory import MemoryChest
from chest.chests.query import EVERYTHING, Query
from chest.chests.registry import open_chest
from chest.cli import tail
from chest.errors import ChestUnavailable, SchemaMismatch
from chest.record.record import Record

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


def found(result: Result) -> list[str]:
    return [json.loads(line)["request_id"] for line in result.stdout.splitlines()]


@pytest.fixture
def between_polls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens while ``tail`` sleeps, in turn; at the end the user presses Ctrl-C."""

    def plan(*events: Callable[[], object]) -> None:
        turns = iter(events)

        def sleep(_seconds: float) -> None:
            event = next(turns, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        monkeypatch.setattr(tail, "time", SimpleNamespace(sleep=sleep))

    return plan


@pytest.mark.parametrize(
    ("lines", "shown"), [(0, []), (1, [25]), (3, [23, 24, 25]), (25, range(1, 26)), (99, range(1, 26))]
)
def test_the_last_records_are_shown_oldest_first(
    run: Run, shelf: MemoryChest, record: MakeRecord, lines: int, shown: list[int]
) -> None:
    shelf.write([record() for _ in range(25)])
    result = run("tail", shelf.name, "--no-follow", "--json", "-n", str(lines))
    assert (result.exit_code, found(result)) == (0, [f"request-{number}" for number in shown])


def test_a_record_that_stands_below_a_later_request_is_marked(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, *_, late = (record() for _ in range(10))
    shelf.write([late, early, late._replace(id="f" * 32)])
    lines = run("tail", shelf.name, "--no-follow").stdout.splitlines()
    assert [line[23] for line in lines] == [" ", "+", " "]
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("tail", shelf.name, "--no-follow").stdout.splitlines()
    assert [line[14] for line in lines] == [" ", "+", " "]
    assert [line[15:18] for line in lines] == ["200"] * 3


def test_ten_are_shown_unless_another_number_is_asked_for(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record() for _ in range(25)])
    assert len(run("tail", shelf.name, "--no-follow").stdout.splitlines()) == 10


def test_records_that_were_removed_do_not_make_fewer_of_the_last(
    run: Run, shelf: MemoryChest, record: MakeRecord
) -> None:
    shelf.write([record() for _ in range(200)])
    shelf.remove([stored for stored in shelf.read() if 5 < int(stored.cursor) < 199])
    result = run("tail", shelf.name, "--no-follow", "--json", "-n", "4")
    assert found(result) == ["request-4", "request-5", "request-199", "request-200"]


def test_the_last_of_one_service_are_found_among_those_of_others(
    run: Run, shelf: MemoryChest, record: MakeRecord
) -> None:
    shelf.write([record(service="till"), record(service="till"), *(record() for _ in range(100))])
    assert found(run("tail", shelf.name, "--no-follow", "--json", "--service", "till")) == ["request-1", "request-2"]


def test_cursors_that_are_no_numbers_are_followed_too(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TextCursors(MemoryChest):
        def read(
            self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000
        ) -> list[StoredRecord]:
            page = super().read(query, after=None if after is None else int(after), limit=limit)
            return [stored._replace(cursor=f"{stored.cursor:08}") for stored in page]

        def newest(self) -> Cursor | None:
            return f"{super().newest():08}"

    monkeypatch.setattr(tail, "readable_chest", lambda url, service: TextCursors(url))
    shelf.write([record() for _ in range(2500)])
    result = run("tail", shelf.name, "--no-follow", "--json", "-n", "2")
    assert found(result) == ["request-2499", "request-2500"]


def test_what_is_stored_later_is_shown_once_each_until_ctrl_c(
    run: Run, shelf: MemoryChest, record: MakeRecord, between_polls: Callable[..., None]
) -> None:
    shelf.write([record(), record()])
    between_polls(lambda: shelf.write([record(), record()]), lambda: None, lambda: shelf.write([record()]))
    result = run("tail", shelf.name, "--json", "-n", "1")
    assert (result.exit_code, result.stderr) == (130, "")
    assert found(result) == ["request-2", "request-3", "request-4", "request-5"]


def test_without_lines_only_what_comes_is_shown(
    run: Run, shelf: MemoryChest, record: MakeRecord, between_polls: Callable[..., None]
) -> None:
    shelf.write([record()])
    between_polls(lambda: shelf.write([record()]))
    assert found(run("tail", shelf.name, "--json", "-n", "0")) == ["request-2"]


def test_an_empty_chest_is_followed_from_its_first_record(
    run: Run, shelf: MemoryChest, record: MakeRecord, between_polls: Callable[..., None]
) -> None:
    between_polls(lambda: shelf.write([record()]))
    assert found(run("tail", shelf.name, "--json")) == ["request-1"]


def test_a_store_that_is_down_meanwhile_is_waited_for_and_that_is_said_once(
    run: Run,
    shelf: MemoryChest,
    record: MakeRecord,
    between_polls: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = MemoryChest.read

    def down(*_: object, **__: object) -> list[StoredRecord]:
        raise ChestUnavailable("locked by\nanother")

    def goes_down() -> None:
        shelf.write([record()])
        monkeypatch.setattr(MemoryChest, "read", down)

    between_polls(goes_down, lambda: None, lambda: monkeypatch.setattr(MemoryChest, "read", read))
    result = run("tail", shelf.name, "--json")
    assert result.stderr == "chest: waiting: locked by\\nanother\n"
    assert found(result) == ["request-1"]


def test_a_table_of_another_shape_is_not_waited_for(
    run: Run, shelf: MemoryChest, between_polls: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object, **__: object) -> list[StoredRecord]:
        raise SchemaMismatch("no column seq")

    between_polls(lambda: monkeypatch.setattr(MemoryChest, "read", other))
    result = run("tail", shelf.name)
    assert (result.exit_code, result.stderr) == (1, "chest: no column seq\n")


def test_a_sqlite_file_is_followed_by_a_process_of_its_own_until_it_is_interrupted(
    tmp_path: Path, record: MakeRecord
) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([record()])
        command = [sys.executable, "-m", "chest", "tail", url, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["request_id"] == "request-1"
            chest.write([record()])
            assert json.loads(process.stdout.readline())["request_id"] == "request-2"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
