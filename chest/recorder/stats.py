"""``RecorderStats``: the type of ``Recorder.stats()``; ``docs/how-it-works.md`` says what each number means."""

from __future__ import annotations

from typing import TypedDict

from chest.transfer.result import TaskStats


class RingStats(TypedDict):
    """How full the ring of this process is."""

    is_durable: bool
    capacity_bytes: int
    pending_bytes: int


class SpoolSize(TypedDict):
    """What waits on disk for one chest."""

    records: int
    bytes: int


class _State(TypedDict):
    """What is always there."""

    ring: RingStats
    spool: dict[str, SpoolSize]
    in_flight: int
    delivery_is_running: bool
    scheduled_transfers: dict[str, TaskStats]
    last_error: str | None
    last_error_time: float | None


class RecorderStats(_State, total=False):
    """The state of a recorder in this process. A counter is absent while it is 0; a ``dict`` counts by chest or by reason."""

    taken: int
    written: dict[str, int]
    failed_writes: dict[str, int]
    recovered: int
    killed: int
    dropped: dict[str, int]
    spooled: dict[str, int]
    unspooled: dict[str, int]
    dead_letters: dict[str, int]
    type_conflicts: dict[str, int]
    overflows: dict[str, int]
    rejected_by_collector: dict[str, int]
    spool_failed: int
    batches_unnoted: dict[str, int]
    late_writes: int
    bypassed: int
    in_flight_skipped: int
    before_record_failed: int
    request_id_generator_failed: int
    prepare_failed: int
    delivery_restarts: int
    delivery_start_failed: int
    chest_thread_restarts: int
    chest_thread_start_failed: int
    ring_in_memory: int
    ring_file_lost: int
    rings_unreadable: int
    flask_internal_error: int
    g_refused: int
