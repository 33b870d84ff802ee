"""Which chest a command means when none, or not quite one, was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chest.chests import base
from chest.cli import chest_choice
from chest.cli.chest_choice import is_url, meant_chests, readable_chest
from chest.directory import default_directory
from chest.errors import SettingsError


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
    assert meant_chests("my.sqlite3", None) == (f"sqlite:///{tmp_path}/my.sqlite3",)


def test_a_file_that_is_missing_is_refused_with_the_url_it_would_have() -> None:
    with pytest.raises(SettingsError, match=r"'my.sqlite3' is neither a URL nor a file; .* sqlite:///my.sqlite3"):
        meant_chests("my.sqlite3", None)


def test_without_a_url_the_environment_s_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_URLS", "memory:a memory:b")
    assert meant_chests(None, None) == ("memory:a", "memory:b")
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


def test_without_urls_the_chest_in_the_environment_s_directory_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path))
    assert meant_chests(None, "shop") == (f"sqlite:///{tmp_path}/chest.sqlite3",)


def test_without_a_directory_that_of_the_service_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, till = default_directory("shop"), default_directory("till")
    assert meant_chests(None, "till") == (f"sqlite:///{till}/chest.sqlite3",)
    monkeypatch.setenv("CHEST_SERVICE", "shop")
    assert meant_chests(None, None) == (f"sqlite:///{shop}/chest.sqlite3",)


def test_a_service_that_never_ran_here_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"service 'shop' has no directory in .*; give a URL"):
        meant_chests(None, "shop")


def test_the_only_service_there_is_is_meant() -> None:
    shop = default_directory("shop")
    assert meant_chests(None, None) == (f"sqlite:///{shop}/chest.sqlite3",)


def test_several_services_are_listed_and_one_is_asked_for() -> None:
    default_directory("shop")
    default_directory("till")
    with pytest.raises(SettingsError, match="several services: shop, till; say which with --service"):
        meant_chests(None, None)


def test_no_service_at_all_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no service has a directory"):
        meant_chests(None, None)
    assert list(tmp_path.iterdir()) == []
