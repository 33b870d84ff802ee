"""Which chest a command means when none, or not quite one, was typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chest.chests import contract as base
from chest.cli import chest_choice
from chest.cli.chest_choice import is_url, readable_chest, resolve_chests
from chest.errors import SettingsError
from chest.recorder.stores_in_use import keep_stores
from chest.system.directory import default_directory


@pytest.mark.parametrize("text", ["sqlite:///a", "memory:", "memory:shop", "postgresql://u:p@h/d"])
def test_what_begins_with_a_scheme_is_a_url(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["referer=http://x/", "plan=premium", "4f0c2b", "no-such.sqlite3", ""])
def test_a_variable_an_id_and_a_missing_file_are_no_url(text: str) -> None:
    assert not is_url(text)


def test_a_file_that_is_there_is_a_sqlite_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.sqlite3").touch()
    monkeypatch.chdir(tmp_path)
    assert is_url("my.sqlite3")
    assert resolve_chests("my.sqlite3", None) == (f"sqlite:///{tmp_path}/my.sqlite3",)


def test_a_file_that_is_missing_is_refused_with_the_url_it_would_have() -> None:
    with pytest.raises(SettingsError, match=r"'my.sqlite3' is neither a URL nor a file; .* sqlite:///my.sqlite3"):
        resolve_chests("my.sqlite3", None)


def test_without_a_url_the_environment_s_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_URLS", "memory:a memory:b")
    assert resolve_chests(None, None) == ("memory:a", "memory:b")
    assert readable_chest(None, None).name == "memory:a"


def test_chests_that_can_only_be_written_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class WriteOnly(base.Chest):
        name = "http://collector/"

        def open(self) -> None: ...
        def write(self, records: object) -> None: ...
        def check(self) -> None: ...
        def close(self) -> None: ...

    make = chest_choice.open_chest
    monkeypatch.setattr(chest_choice, "open_chest", lambda url: WriteOnly() if url.startswith("http") else make(url))
    monkeypatch.setenv("CHEST_URLS", "http://u:hunter2@collector/ memory:b")
    assert readable_chest(None, None).name == "memory:b"
    monkeypatch.setenv("CHEST_URLS", "http://u:hunter2@collector/")
    with pytest.raises(SettingsError, match=r"http://u:\*\*\*@collector/ can only be written"):
        readable_chest(None, None)


def test_without_urls_the_chest_in_the_environment_s_directory_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path))
    assert resolve_chests(None, "shop") == (f"sqlite:///{tmp_path}/chest.sqlite3",)


def test_without_a_directory_that_of_the_service_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, till = default_directory("shop"), default_directory("till")
    assert resolve_chests(None, "till") == (f"sqlite:///{till}/chest.sqlite3",)
    monkeypatch.setenv("CHEST_SERVICE", "shop")
    assert resolve_chests(None, None) == (f"sqlite:///{shop}/chest.sqlite3",)


def test_a_service_that_never_ran_here_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"service 'shop' has no directory in .*; give a URL"):
        resolve_chests(None, "shop")


def test_the_only_service_there_is_is_used() -> None:
    shop = default_directory("shop")
    assert resolve_chests(None, None) == (f"sqlite:///{shop}/chest.sqlite3",)


def test_several_services_are_listed_and_one_is_asked_for() -> None:
    default_directory("shop")
    default_directory("till")
    with pytest.raises(SettingsError, match="several services: shop, till; say which with --service"):
        resolve_chests(None, None)


def test_of_several_services_the_one_that_wrote_last_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    shop, till = default_directory("shop"), default_directory("till")
    for place, written_ns in ((shop, 2_000), (till, 1_000)):
        (place / "main.ring").touch()
        os.utime(place / "main.ring", ns=(written_ns, written_ns))
    keep_stores(till, ["ndjson:/var/till.ndjson"])
    assert readable_chest(None, None).name == "ndjson:/var/till.ndjson"
    assert "service till, which wrote last" in capsys.readouterr().err


def test_without_a_url_the_store_that_the_application_named_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep_stores(default_directory("shop"), ["sqlite:///mine.sqlite3", "postgresql://shop:hunter2@db/shop"])
    assert resolve_chests(None, None) == (f"sqlite:///{tmp_path}/mine.sqlite3",)


def test_no_service_at_all_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no service has a directory"):
        resolve_chests(None, None)
    assert list(tmp_path.iterdir()) == []
