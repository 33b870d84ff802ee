"""Recorders in a directory of their own, and records that are offered to them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chest import Recorder
from chest.chests.memory import MemoryChest
from chest.record.record import Record
from tests.support import make_record

Make = Callable[..., Recorder]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Recorders in ``tmp_path/rings``, closed at the end of the test."""
    made: list[Recorder] = []

    def make(*chests: Any, **options: Any) -> Recorder:
        options.setdefault("directory", tmp_path / "rings")
        recorder = Recorder(chests or [MemoryChest()], **{"service": "shop", "ring_bytes": 1 << 20, **options})
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close(0.5)


def offered(recorder: Recorder, count: int = 1, **changes: Any) -> list[Record]:
    """Records as requests of this process leave them, each taken by the recorder."""
    recorder.prepare()
    service, release, host = recorder.request_side.resource
    records = [
        make_record(recorder.request_side.record_ids, service=service, release=release, host=host, **changes)
        for _ in range(count)
    ]
    assert all(recorder.offer(record) for record in records)
    return records


def stored_ids(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM chest_records ORDER BY seq")]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".group")


_OFFERING = """
    import os, sys, threading
    from chest import Recorder
    from chest.chests.registry import sqlite_url
    from pathlib import Path
    from tests.support import make_record

    directory = Path(sys.argv[1])
    recorder = Recorder(
        [sqlite_url(directory / "store.sqlite3")],
        directory=directory / "rings", service="shop", flush_seconds=60.0, ring_bytes=1 << 20, shutdown_seconds=60.0,
    )

    def offer(count):
        for _ in range(count):
            assert recorder.offer(make_record(recorder.request_side.record_ids))
"""
