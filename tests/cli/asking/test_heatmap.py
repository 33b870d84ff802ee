"""``chest heatmap``: two kinds of requests are two bands."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.record.record import Record

Run = Callable[..., Result]


def test_two_kinds_of_requests_are_two_bands_the_slow_one_above(run: Run, url: str) -> None:
    result = run("heatmap", url)
    *bands, marks, axis = result.stdout.splitlines()
    filled = [band for band in bands if set(band) & set("░▒▓█")]
    assert filled[0] == bands[0]
    assert filled[-1] == bands[-1]
    assert len(filled) < len(bands) <= 16
    assert axis.split() == ["01-01", "12:00", "01-01", "12:59"]
    assert marks.strip() == "▲"
    assert result.stderr.splitlines()[0] == "▲ release v2 first seen 01-01 12:00:18"
    assert result.stderr.splitlines()[1] == "A cell is 1m wide and has up to 6 requests; exact, from 400 records"


def test_the_few_that_took_far_longer_are_one_marked_row(
    run: Run, shelf: MemoryChest, record: Callable[..., Record]
) -> None:
    shelf.write([record() for _ in range(5000)] + [record(duration_ns=60 * 10**9)])
    assert run("heatmap", shelf.name).stdout.splitlines()[0].split()[0].endswith("+")


def test_it_is_no_wider_than_the_terminal(run: Run, url: str) -> None:
    for width in (80, 100):
        lines = run("heatmap", url, env={"COLUMNS": str(width)}).stdout.splitlines()
        assert max(map(len, lines)) <= width


def test_without_requests_it_says_so(run: Run, url: str) -> None:
    result = run("heatmap", url, "plan=gold")
    assert result.stdout == ""
    assert result.stderr.startswith("No requests match; exact, from ")


def test_json_and_csv_have_a_row_for_each_cell(run: Run, url: str) -> None:
    found = json.loads(run("heatmap", url, "--rows", "4", "--json").stdout)
    assert sum(row["requests"] for row in found["rows"]) == 400
    rows = list(csv.DictReader(io.StringIO(run("heatmap", url, "--rows", "4", "--csv").stdout)))
    assert len(rows) == len(found["rows"])
