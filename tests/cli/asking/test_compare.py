"""``chest compare``: what is different about some requests, ranked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import Result

Run = Callable[..., Result]


def names(result: Result) -> list[str]:
    """Each name of the table once, in its order."""
    return [line.split()[0] for line in result.stdout.splitlines()[1:] if not line.startswith(" ")]


def test_the_causes_of_slow_requests_are_named_and_nothing_else(run: Run, url: str) -> None:
    result = run("compare", url, "--slower-than", "100ms")
    assert result.exit_code == 0
    assert sorted(names(result)) == ["plan", "release"]
    assert result.stderr == "100 records slower than 100ms, and 300 others; exact, from 400 records\n"
    by_percentile = run("compare", url, "--slower-than", "p80")
    assert sorted(names(by_percentile)) == ["plan", "release"]
    assert "records slower than 200ms" in by_percentile.stderr


def test_a_value_has_both_shares_and_an_interval_of_the_difference(run: Run, url: str) -> None:
    rows = [line.split() for line in run("compare", url, "--slower-than", "100ms").stdout.splitlines()]
    (plan,) = [row for row in rows if "pro" in row]
    assert plan[:5] == ["plan", "pro", "100%", "33.3%", "+66.7"]
    assert 40 < float(plan[5]) < 66.7 < float(plan[7])


@pytest.mark.parametrize(
    ("arguments", "first", "selected", "rest"),
    [
        (["plan=pro", "--among", "release=v2"], "duration", 100, 100),
        (["route=/pay", "--against", "route=/cart/<id>"], "status", 80, 320),
        (["route=/pay", "--since", "2026-01-01T12:30"], "status", 40, 160),
    ],
)
def test_both_sides_can_be_chosen(
    run: Run, url: str, arguments: list[str], first: str, selected: int, rest: int
) -> None:
    found = json.loads(run("compare", url, *arguments, "--json", "--all").stdout)
    assert (found["selected"], found["rest"]) == (selected, rest)
    assert first in {row["name"] for row in found["rows"]}


def test_a_range_of_durations_stands_in_its_unit(run: Run, url: str) -> None:
    assert ">=200ms" in run("compare", url, "plan=pro", "--among", "release=v2").stdout


def test_csv_has_a_line_for_each_value(run: Run, url: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run("compare", url, "--slower-than", "100ms", "--csv").stdout)))
    assert {(row["name"], row["value"]) for row in rows} >= {("plan", "pro"), ("release", "v2")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["release=v1", "plan=pro"], "100 records, and 300 others"),
        (["user_id=7", "--among", "plan=pro"], "no clear difference (--all shows every one)"),
        (["plan=gold"], "0 records, and 400 others: nothing to compare"),
    ],
)
def test_it_says_how_many_were_compared_and_if_nothing_differs(
    run: Run, url: str, arguments: list[str], said: str
) -> None:
    result = run("compare", url, *arguments)
    assert said in result.stderr
    assert result.exit_code == (0 if names(result) else 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "compare needs a selection"),
        (["--slower-than", "slow"], "expected"),
        (["plan=pro", "--against", "durration>1s"], "did you mean duration?"),
    ],
    ids=["nothing", "slow", "name"],
)
def test_an_invalid_question_is_an_error_that_says_what_to_write(
    run: Run, url: str, arguments: list[str], said: str
) -> None:
    result = run("compare", url, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
