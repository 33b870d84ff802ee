"""What ``chest drain`` brings into a chest from the rings of several processes of a host."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.bench_delivery_thread import LINE_BYTES, Speed, timed
from chest.chests.registry import open_chest
from chest.delivery.external import ExternalDelivery
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters
from chest.settings.settings import Settings
from tests.processes import running_python

PROCESSES: Final = 4
_LONGEST_SECONDS: Final = 300.0
_OFFERS: Final = """
    import sys
    from pathlib import Path
    from benchmarks.rig.contenders import sample_record
    from chest import Recorder

    place, ring_bytes, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sample = sample_record(place / f"sample-{sys.argv[4]}")
    recorder = Recorder(
        ["memory:not-here"], directory=place / "rings", service="bench", ring_bytes=ring_bytes, delivery="external"
    )
    recorder.prepare()
    ids = recorder.request_side.record_ids
    for time_ns in range(sample.time_ns, sample.time_ns + count):
        assert recorder.offer(sample._replace(id=ids.new(time_ns), time_ns=time_ns))
    print("offered", flush=True)
    sys.stdin.readline()
"""


def drain_speed(url: str, ring_bytes: int) -> Speed:
    """Of the loop of ``chest drain``, in this process, over the full rings of living processes."""
    with _full_rings(ring_bytes) as (directory, count), open_chest(url) as chest:
        counters, settings = Counters(), Settings()
        worker = ChestWorker(chest, counters)
        worker.open()
        sidecar = ExternalDelivery(
            directory,
            [worker],
            counters,
            adopt=lambda: iter(()),
            flush_seconds=settings.flush_seconds,
            batch_records=settings.batch_records,
        )

        def drain() -> bool:
            sidecar.stop(_LONGEST_SECONDS)
            return sidecar.run() and sidecar.progress.delivered == count

        return timed(count, drain)


@contextmanager
def _full_rings(ring_bytes: int) -> Iterator[tuple[Path, int]]:
    """A directory with the rings, and how many records are in them."""
    each = ring_bytes // LINE_BYTES
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory, ExitStack() as stack:
        place = Path(directory)
        (place / "rings").mkdir(mode=0o700)
        processes = [
            stack.enter_context(running_python(_OFFERS, place, ring_bytes, each, number)) for number in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "offered\n"
        time.sleep(1)  # their processes have ended what they do at their start
        yield place / "rings", PROCESSES * each
