"""``chest show``: all that is known about one request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from chest.chests.asking.pieces import BudgetOver
from chest.chests.asking.sql.pieces import SQLPieces
from chest.chests.contract import Query
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, sqlite_url
from chest.record.record import Record
from chest.system.directory import default_directory

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


def test_every_record_with_the_id_is_shown_whole(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(request_id="abc", path="/first"), record(), record(request_id="abc", path="/again")])
    result = run("show", shelf.name, "abc")
    assert result.exit_code == 0
    first, again = result.stdout.split("\n\n")
    assert "GET /first" in first
    assert "GET /again" in again


def test_json_is_one_object_a_line(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(request_id="abc"), record(request_id="abc")])
    lines = run("show", shelf.name, "abc", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]


def test_an_id_that_no_record_has_is_said_with_exit_code_1(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record()])
    result = run("show", shelf.name, "no\x1bsuch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"chest: {shelf.name} has no record whose id is no\\x1bsuch, or begins so\n"


@pytest.mark.parametrize("beginning", ["9f86d081", "9f86", "18e9c2647cdc"])
def test_the_beginning_of_an_id_is_enough(run: Run, shelf: MemoryChest, record: MakeRecord, beginning: str) -> None:
    known = record(id="18e9c2647cdcd698750f8de891b0d118", request_id="9f86d081-884c", path="/this")
    shelf.write([record(), known, record()])
    result = run("show", shelf.name, beginning)
    assert result.exit_code == 0
    assert "GET /this" in result.stdout


def test_a_beginning_of_several_ids_lists_them(run: Run, shelf: MemoryChest, record: MakeRecord) -> None:
    shelf.write([record(request_id="9f86aaaa"), record(request_id="9f86bbbb")])
    result = run("show", shelf.name, "9f86")
    assert result.exit_code == 1
    assert "9f86aaaa" in result.stdout
    assert "2 requests begin with 9f86" in result.stderr


def test_an_id_alone_is_looked_up_in_the_environment_s_chest(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_URLS", shelf.name)
    shelf.write([record(request_id="abc")])
    assert run("show", "abc").exit_code == 0


def test_a_record_in_a_sqlite_file_is_shown(run: Run, tmp_path: Path, record: MakeRecord) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([record(request_id="abc", variables={"plan": "premium"}), record()])
    assert 'plan = "premium"' in run("show", url, "abc").stdout


@pytest.mark.parametrize("arguments", [[], ["memory:x"], ["memory:x", "abc", "def"]])
def test_a_url_without_an_id_and_too_many_words_are_refused(run: Run, arguments: list[str]) -> None:
    result = run("show", *arguments)
    assert result.exit_code == 2
    assert "Give the id of a request" in result.stderr


def test_a_record_s_id_leads_to_the_whole_request_in_the_order_of_its_beginnings(
    run: Run, shelf: MemoryChest, record: MakeRecord
) -> None:
    job = record(
        id="18e9c2647cdcd698750f8de891b0d118", request_id="order-42", method="JOB", path="send_email", time_ns=7
    )
    shelf.write([job, record(), record(request_id="order-42", path="/orders", time_ns=5)])
    shown = run("show", shelf.name, "18e9c2647cdc").stdout
    assert shown.index("/orders") < shown.index("JOB send_email")


def test_without_a_url_the_stores_of_other_services_are_looked_into(run: Run, record: MakeRecord) -> None:
    (default_directory("broken") / "chest.sqlite3").write_bytes(b"no database" * 100)
    for service, path in (("shop", "/orders"), ("worker", "send_email"), ("other", "/none")):
        url = sqlite_url(default_directory(service) / "chest.sqlite3")
        with open_chest(url) as chest:
            chest.write(
                [record(request_id="of-" + service if service == "other" else "order-42", service=service, path=path)]
            )
    result = run("show", "order-42")
    assert result.exit_code == 0
    assert "/orders" in result.stdout
    assert "send_email" in result.stdout
    assert "the request also left records in" in result.stderr
    assert "was not looked into" in result.stderr
    assert "send_email" not in run("show", "order-42", "--service", "shop").stdout


def test_if_the_budget_ends_the_answer_says_so(
    run: Run, tmp_path: Path, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write(
            [record(request_id={500: "9f87-500", 2500: "9f86-2500"}.get(place, "order")) for place in range(3000)]
        )
    places = SQLPieces.places

    def slow(pieces: SQLPieces, query: Query, first: int, *others: Any) -> list[int]:
        if first < 1000:
            raise BudgetOver
        return places(pieces, query, first, *others)

    monkeypatch.setattr(SQLPieces, "places", slow)
    result = run("show", url, "9f87", "--seconds", "300")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "or begins so; the budget of 300 s ended before all was looked through" in result.stderr
    result = run("show", url, "9f86", "--seconds", "300")
    assert (result.exit_code, "9f86-2500" in result.stdout) == (0, True)
    assert "there may be more records of this request; the budget of 300 s ended" in result.stderr


def test_what_takes_over_a_second_says_what_it_waits_for(
    run: Run, shelf: MemoryChest, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.write([record(request_id="order-42", time_ns=time.time_ns())])
    said = threading.Event()
    monkeypatch.setattr("chest.cli.asking.question._PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr("chest.cli.asking.question.click.echo", lambda *_, **__: said.set())
    latest, read, cube = MemoryChest.latest, MemoryChest.read, MemoryChest.cube

    def waits(method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            assert said.wait(60)
            return method(*arguments, **options)

        return called

    for name, method in (("latest", latest), ("read", read), ("cube", cube)):
        monkeypatch.setattr(MemoryChest, name, waits(method))
    monkeypatch.setattr("chest.cli.asking.watch.time.sleep", interrupted)
    for words in (
        ["find", shelf.name],
        ["find", shelf.name, "--before", "order-42"],
        ["show", shelf.name, "order-42"],
        ["watch", shelf.name],
        ["top", shelf.name],
    ):
        said.clear()
        assert run(*words).exit_code in (0, 130), words


def interrupted(_: float) -> None:
    raise KeyboardInterrupt
