"""The counts of the recorders of all processes, as metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from chest.recorder.directory_status import DirectoryStatus
from chest.ring.tally.gathering import Gathered

FRESH_SECONDS: Final = 30.0
"""How old figures may be of a process whose thread delivers: it tells them every few seconds."""
_BY_CHEST: Final = {
    "written": ("chest_records_delivered", "Records that this chest has taken."),
    "failed_writes": ("chest_failed_writes", "Writes that this chest did not take."),
    "spooled": ("chest_records_spooled", "Records that were kept on disk for this chest."),
    "unspooled": ("chest_records_unspooled", "Of those, the records that this chest has taken since."),
    "dead_letters": (
        "chest_records_refused",
        "Records that this chest refused for good, and that are kept as dead letters.",
    ),
    "type_conflicts": ("chest_type_conflicts", "Variables that did not fit into a column of this chest."),
    "rejected_by_collector": (
        "chest_rejected_by_collector",
        "Records that a collector rejected of a batch that it took.",
    ),
    "overflows": ("chest_overflows", "Records that this chest had no room for."),
}
_ALONE: Final = {
    "recovered": ("chest_records_recovered", "Records that an ended process left, and that another one delivered."),
    "killed": ("chest_requests_killed", "Requests whose process was killed while it served them."),
}


def recorder_metrics(gathered: Gathered, status: DirectoryStatus | None) -> Iterator[Metric]:
    """Counts of all processes, and what waits in their directory."""
    yield from _counters(gathered.counts)
    yield from _waiting(status)
    now = time.time()
    alive = sum(
        bool(table.figures.get("is_delivering")) and now - table.figures.get("time_ns", 0) / 1e9 < FRESH_SECONDS
        for table in gathered.living
    )
    yield GaugeMetricFamily("chest_processes", "Processes that record.", len(gathered.living))
    yield GaugeMetricFamily("chest_delivery_threads", "Of those, the processes whose thread delivers.", alive)


def _counters(counts: Mapping[str, int]) -> Iterator[Metric]:
    by_chest = {group: CounterMetricFamily(*about, labels=("chest",)) for group, about in _BY_CHEST.items()}
    dropped = CounterMetricFamily("chest_records_dropped", "Records that were dropped, by reason.", labels=("reason",))
    events = CounterMetricFamily(
        "chest_events", "What else the recorders counted; see docs/how-it-works.md.", labels=("event",)
    )
    for name, count in counts.items():
        group, _, of = name.partition(".")
        if group == "dropped":
            dropped.add_metric((of,), count)
        elif of and group in by_chest:
            by_chest[group].add_metric((of,), count)
        elif name not in _ALONE and name != "taken":
            events.add_metric((name,), count)
    yield from by_chest.values()
    yield from (dropped, events)
    for name, about in _ALONE.items():
        yield CounterMetricFamily(*about, counts.get(name, 0))


def _waiting(status: DirectoryStatus | None) -> Iterator[Metric]:
    rings, spools = ((), ()) if status is None else (status.rings, status.spools)
    oldest_ns = None if status is None else status.oldest_ns
    age = 0.0 if oldest_ns is None else max(0.0, time.time() - oldest_ns / 1e9)
    yield GaugeMetricFamily("chest_ring_records", "Records that wait in rings.", sum(ring.records for ring in rings))
    yield GaugeMetricFamily("chest_ring_bytes", "Their size in bytes.", sum(ring.bytes for ring in rings))
    yield GaugeMetricFamily(
        "chest_oldest_waiting_seconds", "How long ago the request began whose record waits longest.", age
    )
    records = GaugeMetricFamily("chest_spool_records", "Records that wait on disk for this chest.", labels=("chest",))
    sizes = GaugeMetricFamily("chest_spool_bytes", "Their size in bytes.", labels=("chest",))
    letters = GaugeMetricFamily("chest_dead_letters", "Dead letters that are kept for this chest.", labels=("chest",))
    for spool in spools:
        records.add_metric((spool.chest,), spool.records)
        sizes.add_metric((spool.chest,), spool.bytes)
        letters.add_metric((spool.chest,), spool.dead_letters)
    yield from (records, sizes, letters)
