"""Where a run keeps its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chest.chests.registry import open_chest
from chest.cli.demo.workspace import Workspace
from chest.errors import DirectoryError


def test_a_temporary_workspace_is_fresh_and_private() -> None:
    first, second = Workspace.temporary(), Workspace.temporary()
    try:
        assert first.path != second.path
        assert first.path.stat().st_mode & 0o777 == 0o700
    finally:
        for workspace in (first, second):
            workspace.log_path.unlink()
            workspace.path.rmdir()


def test_a_named_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a" / "b")
    assert workspace.log_path.is_file()
    assert workspace.store_url == f"sqlite:///{tmp_path}/a/b/chest.sqlite3"


def test_a_relative_directory_means_the_same_to_a_server_that_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace(Path("demo")).path == tmp_path / "demo"


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(DirectoryError, match=r"file cannot be used: File exists\. .*--dir"):
        Workspace(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_directory_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError, match="Not a directory"):
        Workspace(tmp_path / "file" / "demo")


@pytest.mark.skipif(os.geteuid() == 0, reason="to root everything is writable")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DirectoryError, match="Permission denied"):
        Workspace(tmp_path)


def test_the_url_leads_to_the_store_whatever_the_directory_is_called(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "50%20 off? #1 'é'")
    with open_chest(workspace.store_url) as chest:
        chest.open()
    assert workspace.store_path.is_file()
