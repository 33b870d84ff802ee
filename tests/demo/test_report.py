"""What the demonstration says at the end."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter

import pytest
from rich.console import Console

from chest.demo import report
from chest.demo.tally import Tally
from chest.record import Outcome, Record


def record(route: str | None, milliseconds: float, status: int = 200, outcome: str = Outcome.OK) -> Record:
    variables = {"user_id": "a da", "note": "[bold]x[/bold]"}
    times = (1, int(milliseconds * 1e6))
    return Record(
        "0" * 32, "id-1", *times, "GET", "/", route, status, outcome, None, variables, {}, "shop", "1", "host"
    )


def told(tally: Tally) -> str:
    console = Console(file=io.StringIO(), width=80)
    report.print_tally(console, tally)
    return written(console)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def tally(missing: tuple[str, ...] = (), doubled: tuple[str, ...] = (), answered: int = 570) -> Tally:
    return Tally(
        answered, Counter({"stream cut": 1, "client left mid-stream": 29}), 600, missing, doubled, Counter(ok=30)
    )


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5.0], 95, 5.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 95, 95.0),
        ([3.0, 1.0], 95, 3.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert report.percentile(values, percent) == expected


def test_routes_are_summed_up_the_most_used_first() -> None:
    records = [record("/cart", 10), record("/", 1), record("/", 3), record(None, 2, status=404)]
    first, *others = report.by_route(records)
    assert first == report.RouteSummary("/", 2, 0, 1.0, 3.0)
    assert [other.route for other in others] == ["(no route)", "/cart"]


def test_errors_are_server_errors_and_exceptions_but_no_client_errors() -> None:
    records = [
        record("/", 1, status=503),
        record("/", 1, status=200, outcome=Outcome.ERROR),
        record("/", 1, status=404),
        record("/", 1, outcome=Outcome.CLIENT_DISCONNECT),
    ]
    assert report.by_route(records)[0].errors == 2


def test_a_complete_store_is_said_to_be_so_with_its_figures() -> None:
    text = told(tally())
    assert "600 requests, 570 answered, 30 not" in text
    assert "29 client left mid-stream, 1 stream cut" in text
    assert "Every one of the 570 answered requests is in the store exactly once." in text


def test_missing_and_doubled_requests_are_named_and_long_lists_are_cut() -> None:
    text = told(tally(missing=tuple("abcdefg"), doubled=("z",)))
    assert "the store lacks 7 (a, b, c, d, e and 2 more) and holds 1 more than once (z)." in text
    assert "Every one" not in text


def test_an_experiment_without_answers_is_not_called_a_success() -> None:
    assert "No request was answered" in told(tally(answered=0))


def test_a_record_is_shown_whole_and_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=40)
    shown = record("/", 1)
    report.print_record(console, shown)
    assert json.loads(written(console).removeprefix("\nOne record:\n")) == shown._asdict()


def test_the_next_commands_can_be_pasted_into_a_shell() -> None:
    console = Console(file=io.StringIO(), width=40)
    report.print_next_commands(console, "sqlite:////tmp/my demo/chest.sqlite3", record("/", 1))
    commands = written(console).removeprefix("\nTry next:\n").splitlines()
    assert [shlex.split(command) for command in commands] == [
        ["chest", "find", "sqlite:////tmp/my demo/chest.sqlite3", "user_id=a da"],
        ["chest", "tail", "sqlite:////tmp/my demo/chest.sqlite3"],
        ["chest", "show", "sqlite:////tmp/my demo/chest.sqlite3", "id-1"],
    ]
