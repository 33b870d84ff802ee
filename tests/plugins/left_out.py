"""Tests whose packages have no wheel for the interpreter that runs: they are skipped, and say which module is missing.

Only where the run names what it left out, as ``tests/runs/other_pythons.py`` does: everywhere else a missing module is a failure.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Final

import pytest

VARIABLE: Final = "PACKAGES_LEFT_OUT"
"""The environment variable with the packages that could not be installed."""
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_OWN: Final = re.compile(r"chest|tests|\w+_chest")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """A module of tests that cannot be imported."""
    report: pytest.CollectReport = yield  # type: ignore[misc,assignment]
    if report.outcome == "failed" and (reason := why_skipped(_MISSING.findall(str(report.longrepr)))):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, reason)
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test, or what it is given, that imports what is not there."""
    report: pytest.TestReport = yield  # type: ignore[misc,assignment]
    if report.outcome == "failed" and call.excinfo and (reason := why_skipped(_missing(call.excinfo.value))):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, reason)
    return report  # type: ignore[return-value]


def why_skipped(missing: list[str]) -> str | None:
    """The reason to skip, if one of these modules is of a package that the run left out."""
    left_out = os.environ.get(VARIABLE)
    for module in missing:
        name = module.partition(".")[0]
        if left_out and name not in sys.stdlib_module_names and not _OWN.fullmatch(name):
            return f"there is no {module} for this interpreter (left out: {left_out})"
    return None


def _missing(error: BaseException | None) -> list[str]:
    found = []
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            found.append(error.name)
        error = error.__cause__
    return found
