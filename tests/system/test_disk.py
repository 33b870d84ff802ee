"""A check says that a disk is full, before a record is to be written there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable
from chest.system.files import is_full
from chest.testing.records import make_record


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")

    def little(_: Any) -> Any:
        return usage._replace(free=1000)

    monkeypatch.setattr(shutil, "disk_usage", little)


@pytest.mark.parametrize(
    "url", ["ndjson:{}/out.ndjson", "ndjson:{}/out.ndjson.gz", "log:{}/out.log", "sqlite:///{}/out.sqlite3"]
)
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.usefixtures("full_disk")
def test_a_check_of_a_file_on_a_full_disk_says_so(tmp_path: Path, url: str, is_there: bool) -> None:
    with open_chest(url.format(tmp_path)) as chest:
        if is_there:
            chest.write([make_record()])
        with pytest.raises(ChestUnavailable, match="disk is full"):
            chest.check()


def test_a_disk_that_cannot_be_asked_is_taken_for_one_with_room(tmp_path: Path) -> None:
    assert not is_full(tmp_path / "none" / "file")
    assert not is_full(tmp_path / "file")
    assert not is_full(Path("/proc/self/fd/1"))
