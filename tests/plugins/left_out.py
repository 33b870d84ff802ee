"""Tests that cannot run on the interpreter that runs: they are skipped, and say why.

It may lack a package that has no wheel for it: then the reason is the module that is missing.

That is so only if the run names what it left out, as ``tests/runs/other_pythons.py`` does: else a missing module is a failure.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from chest.native import IS_NATIVE
from chest.ring.mapping import can_keep_in_python

VARIABLE: Final = "PACKAGES_LEFT_OUT"
"""The environment variable with the packages that could not be installed."""
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_OWN: Final = re.compile(r"chest|tests|\w+_chest")


def pytest_configure(config: pytest.Config) -> None:
    """Say what the markers mean."""
    config.addinivalue_line("markers", "last_reference: an object has to end with its last reference, as in CPython")
    config.addinivalue_line(
        "markers", "kept_memory: memory in use becomes a file's, while something holds other threads off"
    )
    config.addinivalue_line("markers", "own_locks: a process has to be told of the rings that it holds itself")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """PyPy's objects end when the collector comes to them, and neither there nor without the GIL does memory in use move."""
    if item.get_closest_marker("last_reference") and sys.implementation.name != "cpython":
        pytest.skip("here an object ends later than with its last reference")
    if item.get_closest_marker("kept_memory") and not (IS_NATIVE or can_keep_in_python()):
        pytest.skip("nothing holds other threads off here, so memory in use stays where it is")
    if item.get_closest_marker("own_locks") and not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("this Python knows no locks of an open file, so a process is not told of its own")


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
