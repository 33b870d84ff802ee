"""From a chest URL to a chest."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from chest.chests import registry
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, safe_url, schemes
from chest.chests.sql import SQLChest
from chest.errors import MissingDependencyError, SettingsError


class GuestChest(MemoryChest):
    """A chest of another package."""


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that announces a chest is installed."""
    guests = EntryPoints([EntryPoint("guest", f"{__name__}:GuestChest", registry.ENTRY_POINT_GROUP)])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[GuestChest.__module__])

    def entry_points(**wanted: Any) -> EntryPoints:
        return guests.select(**wanted)

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_the_scheme_says_which_chest_it_is(tmp_path: Path) -> None:
    assert isinstance(open_chest("memory:"), MemoryChest)
    assert isinstance(open_chest(f"sqlite:///{tmp_path}/chest.sqlite3"), SQLChest)


def test_a_scheme_may_be_written_in_capitals() -> None:
    assert isinstance(open_chest("MEMORY:"), MemoryChest)


def test_making_a_chest_connects_to_nothing(tmp_path: Path) -> None:
    open_chest(f"sqlite:///{tmp_path}/chest.sqlite3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("guest")
def test_a_guest_is_found_by_its_entry_point() -> None:
    assert type(open_chest("guest:there")) is GuestChest
    assert {"guest", "memory", "sqlite"} <= set(schemes())
    assert schemes() == sorted(schemes())


def test_an_unknown_scheme_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean sqlite:\?"):
        open_chest("sqllite:///chest.sqlite3")
    with pytest.raises(SettingsError, match=r"Did you mean sqlite:\?"):
        open_chest("sqlite+pysqlite:///chest.sqlite3")


@pytest.mark.parametrize(
    ("url", "nearest"),
    [
        ("mongo://host/shop", "mongodb"),
        ("mongodb+svr://host/shop", r"mongodb\+srv"),
        ("influx://host/o/b", "influxdb"),
        ("influxdb+http://host/o/b", "influxdb"),
        ("influxdb+ssl://host/o/b", "influxdb"),
        ("htpp://host/in", "http"),
    ],
)
def test_a_typo_in_a_scheme_is_told_with_what_was_meant(url: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=rf"Did you mean {nearest}"):
        open_chest(url)


def test_an_unknown_scheme_is_refused_with_all_there_are_and_without_its_secrets() -> None:
    with pytest.raises(SettingsError, match=r"There are: http, https, .*memory, .*sqlite\.") as refusal:
        open_chest("warehouse://user:hunter2@host/db")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("url", ["chest.sqlite3", "", "/var/lib/chest.sqlite3", "://x"])
def test_a_path_is_no_url_and_the_refusal_shows_one(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:///"):
        open_chest(url)


def test_a_missing_driver_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        registry._BUILTIN, "warehouse", registry._Builtin("no_such_driver:Chest", "wsgi-chest[warehouse]")
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[warehouse\]'"):
        open_chest("warehouse:")


def test_no_driver_is_loaded_before_a_chest_needs_it() -> None:
    program = """
import sys
from chest.chests.registry import open_chest, safe_url
open_chest("memory:")
assert not {"sqlalchemy", "sqlite3", "pymongo", "influxdb_client", "httpx"} & set(sys.modules), "a driver was loaded"
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///chest.sqlite3", "sqlite:///chest.sqlite3"),
        ("sqlite:////tmp/a:b@c/chest.sqlite3?table=x", "sqlite:////tmp/a:b@c/chest.sqlite3?table=x"),
        ("memory:", "memory:"),
        ("postgresql://user:hunter2@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:hun/ter?2@host/db?a=1", "postgresql://user:***@host/db?a=1"),
        ("postgresql://user:hun@ter:2@host:5432/db?x=y@z", "postgresql://user:***@host:5432/db?x=y@z"),
        ("mysql://:hunter2@host", "mysql://:***@host"),
        ("mongodb+srv://user:hunter2\n@host", "mongodb+srv://user:***@host"),
        ("influxdb://host:8086/org/bucket?token=hunter2&x=1", "influxdb://host:8086/org/bucket?token=***&x=1"),
        ("https://host/in?Api-Key=hunter2&sig=hunter2", "https://host/in?Api-Key=***&sig=***"),
        ("https://host/in?auth_token=hunter2#part", "https://host/in?auth_token=***"),
        ("https://hunter2@host/in?monkey=1&author=2", "https://***@host/in?monkey=1&author=2"),
    ],
)
def test_a_url_for_messages_shows_no_secret(url: str, shown: str) -> None:
    assert safe_url(url) == shown
    assert "hunter2" not in safe_url(url)
