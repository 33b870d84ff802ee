"""Stored records, moved from chest to chest: by hand, on a timetable; and removed when they are old."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from chest.transfer.every_process import start_in_every_process
    from chest.transfer.result import TransferResult
    from chest.transfer.retention import Retention, RetentionResult
    from chest.transfer.scheduled_exporter import ScheduledExporter, ScheduledRetention
    from chest.transfer.transfer import Transfer

__all__ = [
    "Retention",
    "RetentionResult",
    "ScheduledExporter",
    "ScheduledRetention",
    "Transfer",
    "TransferResult",
    "start_in_every_process",
]

_HOMES: Final = {
    "Retention": "retention",
    "RetentionResult": "retention",
    "ScheduledExporter": "scheduled_exporter",
    "ScheduledRetention": "scheduled_exporter",
    "Transfer": "transfer",
    "TransferResult": "result",
    "start_in_every_process": "every_process",
}


def __getattr__(name: str) -> Any:
    """Loaded when it is used: a transfer by hand needs no APScheduler."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
