"""The kind of each test, as a marker: ``unit``, ``server``, ``kill`` or ``slow``. ``make quick`` runs the first alone.

The folder decides, then what the test asks for: a test that starts a server or a program is no ``unit``. A marker by hand is
for the few that both get wrong. A test without a kind ends the run before it begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import pytest

from tests.processes import ROOT
from tests.servers.process import KIND_VARIABLE
from tests.support import IS_QUICK

KINDS: Final = {
    "unit": "runs in this process; starts no server and no program",
    "server": "needs a database, a WSGI server or another service",
    "kill": "ends processes in the middle of their work",
    "slow": "takes its time: a program of its own, a build, a measurement, a document with all its commands",
}
ALONE: Final = "alone: measures time or memory, and has the machine to itself while it does"

_OF_FOLDERS: Final = {
    "tests/adapters": "unit",
    "tests/adapters/model_app": "server",
    "tests/adapters/pytest_chest": "slow",
    "tests/adapters/test_framework_examples.py": "server",
    "tests/adapters/flask_chest/dockerflow/test_example_app.py": "server",
    "tests/adapters/flask_chest/chests/test_database_chests.py": "server",
    "tests/adapters/flask_chest/test_example_app.py": "server",
    "tests/adapters/flask_chest/test_websockets.py": "server",
    "tests/benchmarks": "slow",
    "tests/chests": "unit",
    "tests/chests/mongodb/test_failures.py": "server",
    "tests/chests/mongodb/test_storing.py": "server",
    "tests/chests/sql/servers": "server",
    "tests/cli": "unit",
    "tests/dashboard": "unit",
    "tests/dashboard/browser": "server",
    "tests/dashboard/test_built_files.py": "slow",
    "tests/dashboard/test_stores.py": "server",
    "tests/delivery": "unit",
    "tests/dockerflow": "unit",
    "tests/field": "slow",
    "tests/kill": "kill",
    "tests/instruments": "unit",
    "tests/metrics": "unit",
    "tests/native": "unit",
    "tests/protocol": "unit",
    "tests/query": "unit",
    "tests/record": "unit",
    "tests/recorder": "unit",
    "tests/recorder/test_growth.py": "slow",
    "tests/request": "unit",
    "tests/ring": "unit",
    "tests/runs": "slow",
    "tests/settings": "unit",
    "tests/system": "unit",
    "tests/transfer": "unit",
    "tests/transfer/test_failing_sources.py": "server",
    "tests/transfer/test_leadership.py": "server",
    "tests/test_servers.py": "server",
}
"""The longest path that a test lies under decides. A file in ``tests/`` itself that is not here guards the house: ``slow``."""

_NOT_QUICK: Final = [
    ROOT / name
    for name in (
        "tests/chests/kafka/test_bounds.py",
        "tests/chests/kafka/test_mock.py",
        "tests/cli/test_demo.py",
        "tests/cli/demo/test_serve.py",
        "tests/delivery/test_outages.py",
        "tests/query/test_answers.py",
        "tests/recorder/test_default_place.py",
    )
]
"""They start servers or many processes, wait for seconds, or load pandas. They are ``unit`` all the same, so that each Python and the wheel has
them, and ``make quick`` leaves them out."""

_SERVERS: Final = frozenset(
    "clickhouse influxdb kafka mariadb mongodb mongodb_replica_set mysql57 nats postgresql redis rotel victoria_metrics wire".split()
)
"""Fixtures that are servers."""


def pytest_configure(config: pytest.Config) -> None:
    """Say what the markers mean."""
    for line in (*(f"{kind}: {meaning}" for kind, meaning in KINDS.items()), ALONE):
        config.addinivalue_line("markers", line)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the test its kind."""
    if not any(mark.name in KINDS for mark in item.iter_markers()):
        item.add_marker(_kind_of(item))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders in which no test is of the only kind that is asked for."""
    if IS_QUICK and collection_path in _NOT_QUICK:
        return True
    kind = _of_path(collection_path)
    asked = config.option.markexpr
    return True if asked == "unit" and kind is not None and kind != asked else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Tell servers which kind of test would start them."""
    os.environ[KIND_VARIABLE] = next(mark.name for mark in item.iter_markers() if mark.name in KINDS)
    return (yield)


def uses_server(item: pytest.Function) -> bool:
    """True if a fixture, a parameter or the test's own code names a server."""
    asked = {*item.fixturenames, *_parameters(item)}
    return not _SERVERS.isdisjoint(asked) or _names_one_of(item.function, "tests.servers")


def _kind_of(item: pytest.Item) -> str:
    kind = _of_path(item.path)
    if kind is None:
        raise pytest.UsageError(f"{item.nodeid} has no kind: add its folder to tests/plugins/kinds.py")
    if kind == "unit" and isinstance(item, pytest.Function):
        if uses_server(item):
            return "server"
        if _names_one_of(item.function, "tests.processes", "subprocess", "multiprocessing"):
            return "slow"
    return kind


@cache  # all tests of a file ask
def _of_path(path: Path) -> str | None:
    names = (parent.relative_to(ROOT).as_posix() for parent in (path, *path.parents) if parent.is_relative_to(ROOT))
    of_house = "slow" if path.parent == ROOT / "tests" and path.is_file() else None
    return next((_OF_FOLDERS[name] for name in names if name in _OF_FOLDERS), of_house)


def _parameters(item: pytest.Function) -> list[str]:
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return [each for each in parameters.values() if type(each) is str]  # some are made to fail when they are asked


@cache  # a function with parameters is many tests
def _names_one_of(function: FunctionType, *modules: str) -> bool:
    """True if the function names one of these modules, or a function or class of theirs."""
    return any(_module_of(function.__globals__.get(name)).startswith(modules) for name in function.__code__.co_names)


def _module_of(value: object) -> str:
    # By the exact type: tests have objects that fail when they are asked for an attribute.
    if type(value) is ModuleType:
        return value.__name__
    return value.__module__ if type(value) in (FunctionType, type) else ""
