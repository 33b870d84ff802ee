"""``chest new``: what no request before had."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

Run = Callable[..., Result]


def test_what_was_first_seen_since_then_has_a_row(run: Run, url: str) -> None:
    result = run("new", url, "plan", "--since", "2026-01-01T12:00:05")
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["release", "v2", "01-01", "12:00:18", "01-01", "12:59:51", "200"],
        ["status", "200", "01-01", "12:00:09", "01-01", "12:59:51", "392"],
        ["route", "/cart/<id>", "01-01", "12:00:09", "01-01", "12:59:51", "320"],
        ["plan", "pro", "01-01", "12:00:09", "01-01", "12:59:51", "200"],
    ]
    assert result.stderr == "4 new values since 01-01 12:00:05; exact, from 400 records\n"


def test_where_all_is_new_it_says_so(run: Run, url: str) -> None:
    result = run("new", url, "--since", "2026-01-01", "release=v1", "--json")
    answer = json.loads(result.stdout)
    assert (answer["before"], answer["names"]) == (0, ["error", "status", "route", "release"])
    assert {(row["name"], row["value"]) for row in answer["rows"]} >= {("release", "v1"), ("status", "500")}
    assert "no record is older, so all is new" in run("new", url, "--since", "2026-01-01").stderr


def test_the_marks_of_releases_are_said(run: Run, url: str) -> None:
    assert "release v2 first seen 01-01 12:00:18\n" in run("over-time", url).stderr
    heatmap = run("heatmap", url)
    assert "▲ release v2 first seen 01-01 12:00:18\n" in heatmap.stderr
    assert "▲" in heatmap.stdout.splitlines()[-2]
