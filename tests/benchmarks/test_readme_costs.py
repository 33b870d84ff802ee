"""README's tables of costs are those of the run that README names."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import bench_frameworks, bench_shapes
from benchmarks.readme_costs import BEGIN, END, README, tables, written
from benchmarks.rig.report import RESULTS, question_of

SAVED = {
    "reports": [
        {"question": question_of(bench_frameworks.__doc__), "rows": [["Flask, FlaskRecorder", 3.14, 6.28, 0.5], ["Django", 2, 4, 0.5]]},
        {"question": question_of(bench_shapes.__doc__), "rows": [[f"shape {number}", 1.2, 3.4, 0.28] for number in range(4)]},
    ]
}  # fmt: skip


def test_frameworks_come_first_and_each_shape_has_a_cell() -> None:
    found = tables(SAVED, "run.json")
    assert found.index("| Flask, FlaskRecorder | 3.1 µs | 6.3 µs | 0.50 |") < found.index("| shape 0 | 0.28 |")
    assert "| shape 3 | 0.28 | | | | |" in found
    assert "(benchmarks/results/run.json)" in found
    assert {line.count("|") for line in found.splitlines() if "shape" in line and line.startswith("|")} == {7}


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    assert written(f"before\n{BEGIN}old\n{END}after\n", "new\n") == f"before\n{BEGIN}new\n{END}after\n"
    with pytest.raises(SystemExit):
        written("no marks", "new\n")


def test_readme_shows_the_run_that_it_names() -> None:
    text = README.read_text()
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown, "README has lost its marks"
    named = re.search(r"benchmarks/results/([\w.-]+\.json)", shown)
    if named is not None:
        assert shown == tables(json.loads((RESULTS / named[1]).read_text()), named[1])
