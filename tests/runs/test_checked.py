"""The second try that a test gets in ``make check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import clean_environment
from tests.runs.checked import run_tests

_TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(5))
def test_it(number, worker_id):
    file = pathlib.Path(f"runs-of-{number}")
    with file.open("a") as runs:
        runs.write(f"{worker_id}\\n")
    is_first = file.read_text().count("\\n") == 1
    if number in CRASH and is_first:
        os._exit(3)
    assert number not in FAIL_ALWAYS
    assert number not in FAIL_FIRST or not is_first, "seen in full"
"""


class Checked(NamedTuple):
    """What came of it: the exit status, the summary, and which workers ran each test."""

    status: int
    summary: str
    runs: list[list[str]]


def check(place: Path, *, fail_first: str = "()", fail_always: str = "()", crash: str = "()") -> Checked:
    """Run five tests in two processes, of which some fail."""
    values = f"FAIL_FIRST, FAIL_ALWAYS, CRASH = {fail_first}, {fail_always}, {crash}\n"
    (place / "test_five.py").write_text(values + _TESTS)
    (place / "pytest.ini").write_text("[pytest]\n")
    summary = place / "build" / "summary"
    status = run_tests(
        [sys.executable, "-m", "pytest", "-p", "xdist.plugin"],
        ["-n", "2"],
        directory=place,
        environment=clean_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        summary=summary,
    )
    runs = [place / f"runs-of-{number}" for number in range(5)]
    return Checked(
        status,
        summary.read_text() if summary.exists() else "",
        [file.read_text().split() if file.exists() else [] for file in runs],
    )


def test_what_fails_once_runs_alone_and_is_listed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checked = check(tmp_path, fail_first="(1,)", crash="(3,)")
    assert checked.status == 0
    assert [len(each) for each in checked.runs] == [1, 2, 1, 2, 1]
    assert checked.runs[1][1] == checked.runs[3][1] == "master"
    names = sorted(checked.summary.removeprefix("passed only alone, the second time: ").strip().split(", "))
    assert names == ["test_five.py::test_it[1]", "test_five.py::test_it[3]"]
    said = capfd.readouterr().out
    assert "AssertionError: seen in full" in said
    assert "crashed while running 'test_five.py::test_it[3]'" in said
    assert checked.summary in said


def test_what_fails_twice_fails_the_run(tmp_path: Path) -> None:
    checked = check(tmp_path, fail_first="(1,)", fail_always="(2,)")
    assert checked.status == 1
    assert [len(each) for each in checked.runs] == [1, 2, 2, 1, 1]
    assert checked.summary == ""


def test_more_than_three_failures_have_no_second_try(tmp_path: Path) -> None:
    checked = check(tmp_path, fail_first="(0, 1, 2, 3)")
    assert checked.status == 1
    assert [len(each) for each in checked.runs] == [1] * 5
    assert checked.summary == ""


def test_a_module_that_cannot_be_collected_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n")
    checked = check(tmp_path, fail_first="(1,)")
    assert checked.status != 0
    assert max(map(len, checked.runs)) <= 1
    assert checked.summary == ""
