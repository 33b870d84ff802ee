"""The version object beside the application."""

from __future__ import annotations

from pathlib import Path

import pytest

from chest.dockerflow.version import get_version


@pytest.mark.parametrize("kind", [str, Path])
def test_the_version_is_what_the_file_says(kind: type, tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text('{"version": "ä1", "commit": null}', encoding="utf-8")
    assert get_version(kind(tmp_path)) == {"version": "ä1", "commit": None}


def test_without_the_file_there_is_no_version(tmp_path: Path) -> None:
    assert get_version(tmp_path) is None


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"1.0"', b"", b"\xff\xfe"])
def test_a_file_that_is_not_a_json_object_raises(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "version.json").write_bytes(content)
    with pytest.raises(ValueError):
        get_version(tmp_path)


def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    (tmp_path / "version.json").mkdir()
    with pytest.raises(OSError, match=r"version\.json"):
        get_version(tmp_path)
