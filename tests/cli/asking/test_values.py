"""``chest values``: the names there are, and their most frequent values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_without_a_name_every_field_and_variable_has_a_row(run: Run, url: str) -> None:
    result = run("values", url)
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert {"duration", "route", "status", "plan", "user_id"} <= rows.keys()
    assert rows["plan"][:4] == ["plan", "text", "100%", "2"]
    assert rows["user_id"][1:6] == ["number", "100%", "40", "0", "to"]
    assert result.stderr == "exact, from 400 records\n"


def test_a_name_shows_its_most_frequent_values_with_their_shares(run: Run, url: str) -> None:
    lines = run("values", url, "release", "status", "route=/pay", "--limit", "1").stdout.splitlines()
    assert lines[0] == "release: text; 100% have it; 2 values"
    assert lines[2].split() in (["v1", "40", "50.0%"], ["v2", "40", "50.0%"])
    assert lines[4:] == ["status: number; 100% have it; 2 values", "value  count  share", "200       72  90.0%"]


def test_durations_stand_in_their_unit(run: Run, url: str) -> None:
    head, _, value = run("values", url, "duration", "--limit", "1").stdout.splitlines()
    assert head.endswith("400 values; 20.0ms to 200ms, half of them up to 20.3ms")
    assert value.split()[0].endswith("ms")


def test_a_name_that_no_record_has_is_said_to_be_absent(run: Run, url: str) -> None:
    assert run("values", url, "paln").stdout == "paln: 0% have it; 0 values\n"


def test_json_has_what_is_known_of_each_name_and_its_values(run: Run, url: str) -> None:
    found = json.loads(run("values", url, "plan", "user_id", "--json").stdout)
    assert [(name["name"], name["types"], name["distinct"]) for name in found["names"]] == [
        ("plan", ["text"], 2), ("user_id", ["number"], 40),
    ]  # fmt: skip
    assert found["rows"][0]["requests"] == 200


def test_csv_has_a_line_for_each_value(run: Run, url: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run("values", url, "plan", "--csv").stdout)))
    assert {row["value"]: row["share"] for row in rows} == {"pro": "0.5", "free": "0.5"}


@pytest.mark.parametrize("more", [(), ("note",), ("note", "--csv"), ("note", "--json")])
def test_what_requests_brought_is_not_obeyed_by_the_terminal(run: Run, url: str, more: tuple[str, ...]) -> None:
    result = run("values", url, *more)
    assert "\x1b" not in result.stdout
    assert "[31m" in result.stdout
