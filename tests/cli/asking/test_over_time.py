"""``chest over-time``: requests step by step, or a line for each group."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_each_step_has_a_row_also_without_requests(run: Run, url: str) -> None:
    result = run("over-time", url, "--step", "20m", "--since", "2026-01-01T11:40", "--until", "2026-01-01T13:00")
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [row[1] for row in rows] == ["11:40", "12:00", "12:20", "12:40"]
    assert [row[2] for row in rows] == ["0", "134", "133", "133"]
    assert rows[0][3:] == ["0", "0%", "-", "-"]
    assert rows[1][6].endswith("ms")
    assert rows[1][-1] == "█" * 24
    assert (
        result.stderr
        == "release v2 first seen 01-01 12:00:18\n01-01 11:40:00 to 01-01 13:00:00, in steps of 20m; exact, from 400 records\n"
    )


def test_by_a_name_each_group_has_a_row_with_its_course(run: Run, url: str) -> None:
    result = run("over-time", url, "--by", "status,plan", "--step", "15m")
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [row[:4] for row in rows] == [
        ["2xx", "pro", "200", "0%"], ["2xx", "free", "192", "0%"], ["5xx", "free", "8", "100%"],
    ]  # fmt: skip
    assert all(len(row[5]) == 4 for row in rows)


def test_json_has_the_step_and_csv_a_line_for_each_step_and_group(run: Run, url: str) -> None:
    arguments = ("over-time", url, "--by", "plan", "--step", "30m")
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["step_ns"], len(found["rows"])) == (1800 * 10**9, 4)
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--csv").stdout)))
    assert [row["requests"] for row in rows] == ["100.0"] * 4


@pytest.mark.parametrize("step", ["soon", "0s", "1us"])
def test_a_step_that_is_none_is_an_error(run: Run, url: str, step: str) -> None:
    result = run("over-time", url, "--step", step)
    assert result.exit_code == 2
    assert f"a step of '{step}'" in result.stderr
