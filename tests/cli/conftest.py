"""What the tests of the commands share: a runner, a record to vary, an environment without our variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chest.chests.memory import MemoryChest
from chest.cli.main import commands
from chest.record.record import Record

NOON_NS = 1_767_268_800 * 10**9
"""2026-01-01T12:00:00Z."""


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option from outside, and a state directory of the test's own."""
    for name in os.environ:
        if name.startswith("CHEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("chest.system.directory.temporary_directory", lambda: tmp_path / "no-such")


@pytest.fixture
def run() -> Callable[..., Result]:
    """``chest`` with these arguments."""

    def call(*arguments: str, **options: Any) -> Result:
        result = CliRunner().invoke(commands, arguments, prog_name="chest", **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def record() -> Callable[..., Record]:
    """A record with other values in the fields that are named; each has an id of its own."""
    numbers = count(1)

    def make(**fields: Any) -> Record:
        number = next(numbers)
        usual = Record(
            id=f"{number:032x}",
            request_id=f"request-{number}",
            time_ns=NOON_NS + number * 10**9,
            duration_ns=12_300_000,
            method="GET",
            path="/cart/42",
            route="/cart/<id>",
            status=200,
            outcome="ok",
            error=None,
            variables={},
            attributes={},
            service="shop",
            release="v1",
            host="web-1",
        )
        return usual._replace(**fields)

    return make


@pytest.fixture
def shelf(request: pytest.FixtureRequest) -> Iterator[MemoryChest]:
    """A chest in memory that a command finds under its name, which is a URL."""
    chest = MemoryChest(f"memory:{request.node.name}")
    yield chest
    chest.clear()
