"""Where the records go: said once for each start of a service, and kept for the commands."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from chest.recorder.recorder import Recorder
from chest.recorder.stores_in_use import keep_stores, kept_stores
from tests.support import wait_until


def test_a_store_with_a_secret_in_its_url_is_not_kept(tmp_path: Path) -> None:
    keep_stores(tmp_path, ["mysql://shop:hunter2@db/shop", "memory:shop", object()])
    assert kept_stores(tmp_path) == ("memory:shop",)
    assert not [file for file in tmp_path.iterdir() if b"hunter2" in file.read_bytes()]
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def test_it_is_said_once_a_process_group_and_again_after_a_new_start(tmp_path: Path) -> None:
    code = "import sys, pathlib; from chest.recorder.stores_in_use import mark_group as m; print(m(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    same = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    new = [
        subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True).stdout
        for _ in range(2)
    ]
    assert same == ["True\n", "False\n"]
    assert new == ["True\n", "True\n"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stores": 3}', b"\xff"])
def test_a_file_that_cannot_be_read_names_no_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stores.json").write_bytes(content)
    assert kept_stores(tmp_path) == ()


@pytest.mark.parametrize("exporter", ["thread", "external"])
def test_a_recorder_says_where_its_records_go_and_leaves_no_mark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, exporter: str
) -> None:
    caplog.set_level(logging.INFO, "chest")
    url, rings = f"sqlite:///{tmp_path}/chest.sqlite3", tmp_path / "rings"
    recorders = [
        Recorder(chests=[url], directory=rings, service="shop", name=name, delivery=exporter) for name in ("a", "b")
    ]
    try:
        for recorder in recorders:
            recorder.prepare()
        wait_until(lambda: list(rings.glob("*.group")), 60)
        assert all(recorder.flush(60) for recorder in recorders)
    finally:
        for recorder in recorders:
            recorder.close()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert said == [f"chest: the records of shop go to {url}; ring files are in {rings}"]
    assert list(rings.iterdir()) == []


def test_without_a_directory_of_its_own_the_stores_are_kept_for_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sign in ("PYTEST_VERSION", "PYTEST_CURRENT_TEST"):  # in a test's process nothing is kept in the default place
        monkeypatch.delenv(sign, raising=False)
    recorder = Recorder(chests=[f"sqlite:///{tmp_path}/mine.sqlite3"], service="shop")
    recorder.prepare()
    wait_until(lambda: kept_stores(recorder.directory), 60)
    recorder.close()
    assert kept_stores(recorder.directory) == (f"sqlite:///{tmp_path}/mine.sqlite3",)
