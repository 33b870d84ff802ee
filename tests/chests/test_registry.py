"""From a chest URL to a chest."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest, safe_url
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import MissingDependencyError, SettingsError
from chest.settings import chest_urls
from chest.settings.chest_urls import chest_urls_of, is_chest_url, schemes


class GuestChest(MemoryChest):
    """A chest of another package."""


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that announces a chest is installed."""
    guests = EntryPoints([EntryPoint("guest", f"{__name__}:GuestChest", chest_urls.ENTRY_POINT_GROUP)])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[GuestChest.__module__])

    def entry_points(**wanted: Any) -> EntryPoints:
        return guests.select(**wanted)

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)


def test_the_scheme_says_which_chest_it_is(tmp_path: Path) -> None:
    assert isinstance(open_chest("memory:"), MemoryChest)
    assert isinstance(open_chest(f"sqlite:///{tmp_path}/chest.sqlite3"), SQLiteChest)


def test_the_chest_of_sqlite_is_still_made_by_the_name_it_had(tmp_path: Path) -> None:
    assert isinstance(SQLChest(f"SQLite:///{tmp_path}/chest.sqlite3"), SQLiteChest)


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


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize(
    "url", ["guest:/x", "GUEST:", "guest://host/x", "memory:", "log:a.log", "sqlite:///x", "nosuch://x"]
)
def test_a_chest_url_begins_with_a_chest_s_scheme_or_with_any_before_two_slashes(url: str) -> None:
    assert is_chest_url(url)


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize(
    "text", ["", "chest.sqlite3", "shop:hunter2@db", "C:/x", "guest", "a=memory:", "://x", "/guest:x"]
)
def test_a_text_without_the_scheme_of_a_chest_is_not_a_chest_url(text: str) -> None:
    assert not is_chest_url(text)


@pytest.mark.usefixtures("guest")
def test_a_comma_ends_a_url_if_the_url_of_a_guest_begins_behind_it() -> None:
    assert chest_urls_of("guest:/x,guest:/y, memory:,guest:9/z") == ["guest:/x", "guest:/y", "memory:,guest:9/z"]


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
def test_a_typo_in_a_scheme_is_refused_with_the_nearest_scheme(url: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=rf"Did you mean {nearest}"):
        open_chest(url)


def test_an_unknown_scheme_is_refused_with_all_there_are_and_without_its_secrets() -> None:
    with pytest.raises(SettingsError, match=r"There are: .*http, https, .*memory, .*sqlite\.") as refusal:
        open_chest("warehouse://user:hunter2@host/db")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("url", ["chest.sqlite3", "", "/var/lib/chest.sqlite3", "://x"])
def test_a_path_is_not_a_url_and_the_refusal_shows_one(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:///"):
        open_chest(url)


def test_a_missing_driver_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        chest_urls.BUILTIN, "warehouse", chest_urls._Builtin("no_such_driver:Chest", "wsgi-chest[warehouse]")
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[warehouse\]'"):
        open_chest("warehouse:")


def test_a_driver_that_a_second_interpreter_cannot_load_is_said_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver_of_one_interpreter.py").write_text("raise ImportError('can only be loaded once')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(
        chest_urls.BUILTIN, "once", chest_urls._Builtin("driver_of_one_interpreter:Chest", "wsgi-chest")
    )
    with pytest.raises(MissingDependencyError, match=r"can only be loaded once\. .*single-interpreter"):
        open_chest("once:")


def test_no_driver_is_loaded_before_a_chest_needs_it() -> None:
    program = """
import sys
from chest.chests.registry import open_chest, safe_url
open_chest("memory:")
assert not {"sqlalchemy", "sqlite3", "pymongo", "influxdb_client", "httpx"} & set(sys.modules), "a driver was loaded"
"""
    subprocess.run([sys.executable, "-c", program], timeout=300, check=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///chest.sqlite3", "sqlite:///chest.sqlite3"),
        ("sqlite:////tmp/a:b@c/chest.sqlite3?table=x", "sqlite:////tmp/a:b@c/chest.sqlite3?table=x"),
        ("memory:", "memory:"),
        ("postgresql://user:hunter2@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:hun/ter?2@host/db?a=1", "postgresql://user:***@host/db?a=1"),
        ("postgresql://user:hun@ter:2@host:5432/db?x=y@z", "postgresql://user:***@z"),
        ("mysql://:hunter2@host", "mysql://:***@host"),
        ("mongodb+srv://user:hunter2\n@host", "mongodb+srv://user:***@host"),
        ("influxdb://host:8086/org/bucket?token=hunter2&x=1", "influxdb://host:8086/org/bucket?token=***&x=1"),
        ("https://host/in?Api-Key=hunter2&sig=hunter2", "https://host/in?Api-Key=***&sig=***"),
        ("https://host/in?auth_token=hunter2#part", "https://host/in?auth_token=***"),
        ("https://hunter2@host/in?monkey=1&author=2", "https://***@host/in?monkey=1&author=2"),
        ("https://host/in#token=hunter2", "https://host/in#token=***"),
        ("https://host/in?a=1;token=hunter2", "https://host/in?a=***"),
        ("postgresql://user@host/db?options=-c%20password=hunter2", "postgresql://user@host/db?options=***"),
        ("influxdb://hunter2@host/org/bucket", "influxdb://***@host/org/bucket"),
        ("nats://hunter2@one,two/shop", "nats://***@one,two/shop"),
        ("nats+tls://user:hunter2@host/shop?subject=a", "nats+tls://user:***@host/shop?subject=a"),
        ("postgresql://user:hunter2/db", "postgresql://user:***/db"),
        ("postgresql:/user:hunter2@host/db", "***@host/db"),
        ("postgresql//user:hunter2@host/db", "***@host/db"),
        ("user:hunter2@host/db", "***@host/db"),
        ("log:?token=hunter2", "log:?token=***"),
        ("mongodb://h1:1,h2:2/db", "mongodb://h1:1,h2:2/db"),
        ("ndjson:/a@b", "ndjson:/a@b"),
    ],
)
def test_a_url_for_messages_shows_no_secret(url: str, shown: str) -> None:
    assert safe_url(url) == shown
    assert "hunter2" not in safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://me:hunter2@db:8123/shop",
        "clickhouse://me:@db:8123/shop",
        "clickhouse://:hunter2@db:8123/shop",
        "mongodb://me:hunter2@db/shop",
        "nats://me:hunter2@db:4222/shop",
        "nats://me:@db:4222/shop",
        "nats://:hunter2@db:4222/shop",
    ],
)
def test_the_name_of_a_chest_shows_the_login_as_its_url_is_shown(url: str) -> None:
    with open_chest(url) as chest:
        assert chest.name.partition("@")[0] == safe_url(url).partition("@")[0]


_SERVERS = ["postgresql://{}@db.example/shop", "mysql://{}@db.example/shop", "mongodb://{}@db.example/shop"]
_OUTSIDE = [
    *_SERVERS,
    "https://{}@db.example/in",
    "nats://{}@db.example/shop",
    "influxdb://{}@db.example:8086/org/bucket",
]


@pytest.mark.parametrize("url", _OUTSIDE)
@settings(deadline=None)
@given(
    user=st.text("bob", min_size=1, max_size=3),
    password=st.lists(
        st.sampled_from(["Kq7", "Zw9", "@", "/", "?", "#", ":", "%", "&", "=", " "]), min_size=1, max_size=6
    ).map("".join),
)
def test_no_piece_of_a_password_is_shown_however_it_was_written(url: str, user: str, password: str) -> None:
    for written in (password, quote(password), quote(password, safe="")):
        given_url = url.format(f"{user}:{written}")
        shown = [safe_url(given_url)]
        try:
            chest = open_chest(given_url)
        except SettingsError as refusal:
            shown.append(str(refusal))
        else:
            shown += chest.name, repr(chest)
            chest.close()
        assert not [text for text in shown if "Kq7" in text or "Zw9" in text]


@pytest.mark.parametrize("url", _OUTSIDE)
@pytest.mark.parametrize("login", ["bob:p@ss", "bob:pa/ss@x", "bob@corp:pw", "bob:pa?ss@x", "bob:pa#ss@x"])
def test_a_login_that_could_end_in_two_places_is_refused_with_the_cure(url: str, login: str) -> None:
    with pytest.raises(SettingsError, match="@ is %40") as refusal:
        open_chest(url.format(login))
    assert "ss" not in str(refusal.value).replace("password", "")
