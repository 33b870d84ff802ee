"""When a sidecar writes what it finds; what becomes of it where processes die is in tests/kill/test_sidecar.py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chest.counters import Counters
from chest.delivery.lane import Lane
from chest.delivery.sidecar import Sidecar
from chest.record import Record
from tests.delivery.test_lane import ScriptedChest
from tests.processes import running_python

_WORKER = """
    import sys
    from pathlib import Path
    from chest import Recorder
    from tests.support import make_record

    recorder = Recorder(
        ["memory:not-here"], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20, exporter="external"
    )
    recorder.prepare()
    for line in sys.stdin:  # so many records, of about 1,000 bytes
        for _ in range(int(line)):
            assert recorder.offer(make_record(recorder.record_ids, variables={"text": "x" * 800}))
        print("offered", flush=True)
"""


class Worker:
    """A process that records and leaves delivery to others."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def offer(self, count: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "offered\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "rings").mkdir(mode=0o700)
    with running_python(_WORKER, tmp_path / "rings") as process:
        yield Worker(process)


def sidecar_of(tmp_path: Path, chest: ScriptedChest) -> Sidecar:
    counters = Counters()
    return Sidecar(
        tmp_path / "rings",
        [Lane(chest, counters)],
        counters,
        adopt=lambda: iter(()),
        flush_seconds=60,
        batch_records=100,
    )


def test_what_comes_while_a_batch_is_written_waits_for_others_of_its_own_batch(tmp_path: Path, worker: Worker) -> None:
    class BusyChest(ScriptedChest):
        def write(self, records: Sequence[Record]) -> None:
            sizes.append(len(records))
            if len(sizes) < 20:
                worker.offer(1)  # under load there is always one more
            super().write(records)

    sizes: list[int] = []
    sidecar = sidecar_of(tmp_path, BusyChest())
    worker.offer(1)
    for _ in range(5):
        sidecar._turn()
    assert sizes == [1]
    sidecar.stop(5)
    assert sidecar.run()
    assert sum(sizes) >= 20  # at the end all of it is written


def test_a_backlog_is_written_in_whole_batches_one_after_another(tmp_path: Path, worker: Worker) -> None:
    chest = ScriptedChest()
    worker.offer(450)
    sidecar = sidecar_of(tmp_path, chest)
    sidecar._turn()
    assert len(chest.kept) == 450
    assert chest.writes <= 5


def test_a_ring_that_fills_is_emptied_however_young_what_it_holds_is(tmp_path: Path, worker: Worker) -> None:
    chest = ScriptedChest()
    sidecar = sidecar_of(tmp_path, chest)
    worker.offer(1)
    sidecar._turn()
    worker.offer(10)
    sidecar._turn()
    assert len(chest.kept) == 1  # the next is due in a minute
    worker.offer(400)
    sidecar._turn()
    assert len(chest.kept) == 411
