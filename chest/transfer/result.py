"""``TransferResult``: what a run of a transfer did; ``TaskStats``: how a scheduled task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypedDict

__all__ = ["TaskStats", "TransferResult"]


@dataclass
class TransferResult:
    """What a run did, or has done so far."""

    read: int = 0
    """Records that were new to this transfer."""
    written: int = 0
    """Records that the target has taken."""
    rejected: int = 0
    """Records that the target will never take."""
    unreadable: int = 0
    """Messages of a stream that are no records of Chest, and were passed over."""
    seconds: float = 0.0
    is_complete: bool = False
    """True if it came to the end of the source; not when it was stopped or came to its limit."""

    def __iadd__(self, more: TransferResult) -> Self:
        """Add what another run did after this one."""
        self.read += more.read
        self.written += more.written
        self.rejected += more.rejected
        self.unreadable += more.unreadable
        self.seconds += more.seconds
        self.is_complete = more.is_complete
        return self


class _State(TypedDict):
    """What is always there; times are Unix times in seconds."""

    is_started: bool
    is_running: bool
    next_run_time: float | None
    last_finished_time: float | None
    ticks_behind: int
    runs: int
    failed_runs: int
    last_result: dict[str, Any] | None
    last_error: str | None


class TaskStats(_State, total=False):
    """How a scheduled task is in this process; the counts of all its runs are there after the first."""

    read: int
    written: int
    rejected: int
    removed: int
    reclaimed_bytes: int
