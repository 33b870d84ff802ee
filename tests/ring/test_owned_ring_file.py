"""The ring file of a process: nothing that others notice but the file and its lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chest.native import IS_NATIVE
from chest.record.counters import Counters
from chest.ring.line import Resource
from chest.ring.owned_ring_file import OwnedRingFile
from chest.ring.recovery import adopt_orphaned_rings
from chest.ring.writer import RingWriter
from tests.support import make_record, open_files_below

MIB = 1 << 20


def make(directory: Path) -> OwnedRingFile:
    return OwnedRingFile.create(directory, "main", MIB, {"service": "shop"})


@pytest.mark.skipif(
    not hasattr(fcntl, "F_OFD_SETLK"), reason="without locks of an open file each ring keeps the one that it locked"
)
def test_a_ring_takes_no_descriptor_so_that_twenty_applications_of_a_process_take_none(tmp_path: Path) -> None:
    make(tmp_path).remove()
    files = [make(tmp_path) for _ in range(20)]
    assert open_files_below(tmp_path) == []
    for file in files:
        file.remove()
    assert list(tmp_path.iterdir()) == []


def replaced(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, 100)  # and no process has looked into it since


@pytest.mark.parametrize(
    ("suffix", "spoil"),
    [(".ring", Path.unlink), (".ring", replaced), (".ring", cut), (".lock", Path.unlink), (".lock", replaced)],
)
def test_a_file_that_was_removed_replaced_or_cut_is_no_longer_intact(
    tmp_path: Path, suffix: str, spoil: Callable[[Path], None]
) -> None:
    file = make(tmp_path)
    assert file.is_intact
    [path] = tmp_path.glob(f"*{suffix}")
    spoil(path)
    assert not file.is_intact
    file.let_go()


@pytest.mark.skipif(not IS_NATIVE, reason="without its compiled part Chest cannot go on behind a SIGBUS")
def test_an_orphaned_ring_that_is_cut_while_it_is_read_costs_what_was_cut(tmp_path: Path) -> None:
    file = make(tmp_path)
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(file.segments, Resource("shop", "", ""))
    for _ in range(100):
        ring.offer(make_record())
    ring.close()
    file.let_go()
    [dead] = adopt_orphaned_rings(tmp_path, Counters())
    os.truncate(file.path, 0)
    assert list(dead.pieces()) == []
    dead.release()
