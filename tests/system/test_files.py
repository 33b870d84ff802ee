"""What is written is written whole, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.system.files import append_durably, write_all


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"before\n")
    descriptor = os.open(tmp_path / "file", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def content_of(descriptor: int) -> bytes:
    return os.pread(descriptor, 1000, 0)


def takes_parts(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> None:
    """The system takes so many bytes at each call, then fails as a full disk does."""
    write, left = os.write, iter(sizes)

    def take(descriptor: int, data: bytes) -> int:
        size = next(left, None)
        if size is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:size])

    monkeypatch.setattr(os, "write", take)


def test_what_is_taken_in_parts_is_written_whole(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    takes_parts(monkeypatch, 3, 1, 100)
    assert append_durably(descriptor, b"0123456789\n") == 18
    assert content_of(descriptor) == b"before\n0123456789\n"


def test_a_part_that_was_taken_before_a_failure_is_cut_back(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    takes_parts(monkeypatch, 3, 1)
    with pytest.raises(OSError, match="No space left"):
        append_durably(descriptor, b"0123456789\n")
    assert content_of(descriptor) == b"before\n"


def test_what_did_not_reach_the_disk_is_cut_back(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        append_durably(descriptor, b"0123456789\n")
    assert content_of(descriptor) == b"before\n"


def test_a_system_that_takes_nothing_and_raises_nothing_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    takes_parts(monkeypatch, 3, 0)
    with pytest.raises(OSError, match="No space left"):
        write_all(descriptor, b"0123456789\n")
