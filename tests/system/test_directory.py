"""Where ring files live: ours alone, or refused with the cure."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from chest.errors import DirectoryError
from chest.system import directory
from chest.system.directory import default_directory, existing_directories, prepare_directory, state_directory

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's state directory and the one in /tmp, both below the test's own directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(directory, "temporary_directory", lambda: tmp_path / "tmp" / "chest-1")
    monkeypatch.setattr(directory, "_said", set())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_state_directory_is_not_made_by_asking_for_it(tmp_path: Path) -> None:
    assert not state_directory().exists()
    assert not (tmp_path / "state").exists()


def test_the_default_directory_is_the_service_s_below_the_state_directory_and_private() -> None:
    path = default_directory("shop")
    assert path == state_directory() / "shop"
    assert mode(path) == 0o700
    assert mode(state_directory()) == 0o700


def test_the_default_directory_is_the_same_at_every_start() -> None:
    assert default_directory("shop") == default_directory("shop")


def test_a_default_directory_that_others_can_look_into_is_tightened() -> None:
    path = default_directory("shop")
    path.chmod(0o777)
    assert mode(default_directory("shop")) == 0o700


def test_without_a_state_directory_the_default_is_in_tmp_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the home should be")
    path = default_directory("shop")
    assert default_directory("shop") == path == tmp_path / "tmp" / "chest-1" / "shop"
    assert mode(path) == mode(path.parent) == 0o700
    said = f"ring files are kept in {path}, which a restart of the machine empties"
    assert [record.getMessage().rpartition("; ")[2] for record in caplog.records] == [said]


def test_a_user_without_a_home_gets_the_directory_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "state_directory", lambda: Path("~/.local/state/chest"))
    monkeypatch.chdir(tmp_path)
    assert default_directory("shop") == tmp_path / "tmp" / "chest-1" / "shop"
    assert not (tmp_path / "~").exists()


def test_a_directory_in_tmp_that_another_user_made_first_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "chest-1").symlink_to(tmp_path)
    with pytest.raises(DirectoryError, match="is a symbolic link"):
        default_directory("shop")


def test_a_missing_directory_is_made_with_its_parents_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "chest"
    assert prepare_directory(path) == path
    assert mode(path) == mode(path.parent) == 0o700


def test_a_given_directory_that_others_may_read_is_taken_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert prepare_directory(tmp_path) == tmp_path
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("open_mode", [0o770, 0o702])
def test_a_directory_that_others_may_write_is_refused_with_the_cure(tmp_path: Path, open_mode: int) -> None:
    tmp_path.chmod(open_mode)
    with pytest.raises(DirectoryError, match=f"can be written by other users: chmod go-w {tmp_path}"):
        prepare_directory(tmp_path)


def test_a_sticky_directory_is_taken_for_others_cannot_replace_our_files_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert prepare_directory(tmp_path) == tmp_path


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DirectoryError, match="is a symbolic link: give the directory that it points to"):
        prepare_directory(link)


def test_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(DirectoryError, match="is not a directory"):
        prepare_directory(path)


def test_a_directory_of_another_user_is_refused_and_one_below_it_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(DirectoryError, match=f"give a directory of your own, such as {tmp_path}/chest"):
        prepare_directory(tmp_path)


def test_a_directory_that_cannot_be_made_is_an_error_of_ours_with_the_cure() -> None:
    with pytest.raises(DirectoryError, match=r"cannot create /proc/chest/shop: .*; set CHEST_DIRECTORY"):
        prepare_directory(Path("/proc/chest/shop"))


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, how: False)  # root may write anything, so the kernel is not asked
    with pytest.raises(DirectoryError, match="cannot be written"):
        prepare_directory(tmp_path)


def test_the_directories_of_services_are_found_in_both_homes(tmp_path: Path) -> None:
    shop = default_directory("shop")
    elsewhere = tmp_path / "tmp" / "chest-1" / "till"
    prepare_directory(elsewhere)
    (state_directory() / "notes.txt").write_text("no directory")
    assert existing_directories() == [shop, elsewhere]


def test_a_directory_that_is_not_ours_belongs_to_no_service() -> None:
    default_directory("shop").chmod(0o777)
    assert existing_directories() == []


def test_looking_for_services_makes_nothing(tmp_path: Path) -> None:
    assert existing_directories() == []
    assert list(tmp_path.iterdir()) == []
