"""``chest top``: one row a group, as a table, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.cli.asking.question import progress_line
from chest.record.record import Record

Run = Callable[..., Result]


def table(result: Result) -> dict[str, list[str]]:
    """The rows by their first cell."""
    return {line.split()[0]: line.split() for line in result.stdout.splitlines()}


def answer(result: Result) -> Any:
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_each_route_has_a_row_and_the_one_that_costs_most_stands_first(run: Run, url: str) -> None:
    result = run("top", url)
    assert result.exit_code == 0
    heading, first, second, everything = result.stdout.splitlines()
    assert heading.split() == "route count rate errors p50 p95 p99 max total over time".split()
    assert first.split()[:4] == ["/cart/<id>", "320", "5.35/min", "0%"]
    assert second.split()[:4] == ["/pay", "80", "1.34/min", "10.0%"]
    assert everything.split()[:4] == ["(all)", "400", "6.68/min", "2.0%"]
    assert everything.split()[7:9] == ["200ms", "26.1s"]


def test_it_says_on_standard_error_what_it_rests_on(run: Run, url: str) -> None:
    said = run("top", url, "--limit", "1").stderr
    assert said == "01-01 12:00:00 to 01-01 12:59:51; 2 groups, 1 of them shown; exact, from 400 records\n"


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--by", "plan", "--sort", "count"], {"pro": "200", "free": "200"}),
        (["--by", "release", "plan=pro"], {"v1": "100", "v2": "100"}),
        (["--by", "status", "route=/pay"], {"200": "72", "500": "8"}),
        (["--by", "absent"], {"(none)": "400"}),
        (["--since", "2026-01-01T12:30"], {"/cart/<id>": "160", "/pay": "40"}),
        (["--until", "2026-01-01T12:15", "duration>100ms"], {"/cart/<id>": "20", "/pay": "5"}),
        (["--service", "till"], {}),
    ],
)
def test_filter_and_options_say_what_is_counted(run: Run, url: str, arguments: list[str], rows: dict[str, str]) -> None:
    counts = {name: cells[1] for name, cells in table(run("top", url, *arguments)).items()}
    assert {name: count for name, count in counts.items() if name != "(all)"} == {
        (arguments[arguments.index("--by") + 1] if "--by" in arguments else "route"): "count"
    } | rows


@pytest.mark.parametrize(("sort", "first"), [("count", "/cart/<id>"), ("errors", "/pay"), ("max", "/cart/<id>")])
def test_rows_are_sorted_as_asked(run: Run, url: str, sort: str, first: str) -> None:
    assert answer(run("top", url, "--sort", sort, "--json"))["rows"][0]["route"] == first


def test_json_is_one_object_with_the_basis_and_the_rows(run: Run, url: str) -> None:
    found = answer(run("top", url, "--by", "route,plan", "--json"))
    assert (found["basis"]["is_exact"], found["basis"]["of"], found["groups"]) == (True, 400, 4)
    assert {(row["route"], row["plan"]): row["requests"] for row in found["rows"]} == {
        ("/cart/<id>", "pro"): 160, ("/cart/<id>", "free"): 160, ("/pay", "pro"): 40, ("/pay", "free"): 40,
    }  # fmt: skip


def test_csv_has_a_heading_and_a_line_for_each_row(run: Run, url: str) -> None:
    result = run("top", url, "--by", "plan", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["plan"] for row in rows] == ["pro", "free"]
    assert (rows[0]["requests"], rows[0]["failed_share"]) == ("200.0", "0.0")
    assert result.stderr == "exact, from 400 records\n"


def test_against_an_earlier_period_it_says_what_changed(run: Run, url: str) -> None:
    arguments = ("top", url, "--by", "plan", "--since", "2026-01-01T12:30", "--until", "2026-01-01T13:00", "plan=pro")
    rows = table(run(*arguments, "--against", "30m"))
    assert rows["plan"][9:15] == ["count", "±", "errors", "±", "p95", "±"]
    assert rows["pro"][9:12] == ["+0%", "+0.0", "+0%"]
    found = answer(run(*arguments, "--against", "30m", "--json"))
    assert (found["rows"][0]["requests"], found["rows"][0]["requests_before"]) == (100, 100)
    assert table(run(*arguments, "--against", "1d"))["pro"][9:12] == ["new", "-", "-"]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_on_a_terminal_a_line_is_no_wider_than_it(
    run: Run, shelf: MemoryChest, record: Callable[..., Record], width: int
) -> None:
    shelf.write([record(route=f"/{'a-very-long-route/' * 10}{place}") for place in range(3)])
    lines = run("top", shelf.name, env={"COLUMNS": str(width)}).stdout.splitlines()
    assert max(map(len, lines)) <= max(width, 80)
    assert "…" in lines[1]
    assert ("over time" in lines[0]) == (width == 200)


def test_what_requests_brought_is_not_obeyed_by_the_terminal(run: Run, url: str) -> None:
    for more in ((), ("--json",), ("--csv",)):
        assert "\x1b" not in run("top", url, "--by", "note", *more).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["durration>200ms"], "did you mean duration?"),
        (["--against", "yesterday"], "expected a number and ms, s, m, h, d or w"),
        (["--sort", "size"], "'size' is not one of"),
        (["nonsense"], "'nonsense' is neither name=value nor the URL of a chest, and no file has this name"),
    ],
    ids=["name", "against", "sort", "word"],
)
def test_an_invalid_question_is_an_error_that_says_what_to_write(
    run: Run, url: str, arguments: list[str], said: str
) -> None:
    result = run("top", url, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_answer_that_takes_over_a_second_is_announced(
    run: Run, url: str, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = threading.Event()
    cube = MemoryChest.cube

    def slow(*args: Any, **options: Any) -> Any:
        assert said.wait(60)
        return cube(*args, **options)

    echo = click.echo

    def heard(message: Any = None, *args: Any, **options: Any) -> None:
        echo(message, *args, **options)
        if "asking" in str(message):
            said.set()

    monkeypatch.setattr("chest.cli.asking.question.click.echo", heard)
    monkeypatch.setattr("chest.cli.asking.question._PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(MemoryChest, "cube", slow)
    assert f"chest: asking {shelf.name}, for up to 10 s" in run("top", url).stderr


def test_at_a_terminal_the_line_comes_before_a_second_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    monkeypatch.setattr("chest.cli.asking.question.click.echo", lambda *_, **__: said.set())
    monkeypatch.setattr("chest.cli.asking.question._PROGRESS_SECONDS", 1000.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_line("memory:", 10):
        assert said.wait(60)


def test_it_loads_neither_a_table_library_nor_an_event_loop() -> None:
    code = "import sys, chest.cli.asking.top; print({'rich.table', 'rich.console', 'asyncio', 'sqlalchemy', 'duckdb'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300).stdout == "set()\n"


def test_a_name_that_no_request_has_may_be_a_field_that_is_misspelt(run: Run, url: str) -> None:
    assert "; rute is taken as a variable: did you mean route?; exact" in run("top", url, "--by", "rute").stderr
    assert "did you mean" not in run("top", url, "--by", "plan").stderr
