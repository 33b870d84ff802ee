"""Stored records, moved from chest to chest: by hand, on a timetable; and removed when they are old."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.transfer.every_process import start_in_every_process
    from chest.transfer.result import TransferResult
    from chest.transfer.retention import Retention, RetentionResult
    from chest.transfer.scheduled_task import ScheduledTask
    from chest.transfer.scheduled_transfer import ScheduledRetention, ScheduledTransfer
    from chest.transfer.streams.stream_transfer import StreamTransfer
    from chest.transfer.transfer import Transfer

__all__ = [
    "Retention",
    "RetentionResult",
    "ScheduledRetention",
    "ScheduledTask",
    "ScheduledTransfer",
    "StreamTransfer",
    "Transfer",
    "TransferResult",
    "start_in_every_process",
]

_HOMES: Final = {
    "Retention": "chest.transfer.retention",
    "RetentionResult": "chest.transfer.retention",
    "ScheduledTransfer": "chest.transfer.scheduled_transfer",
    "ScheduledRetention": "chest.transfer.scheduled_transfer",
    "ScheduledTask": "chest.transfer.scheduled_task",
    "StreamTransfer": "chest.transfer.streams.stream_transfer",
    "Transfer": "chest.transfer.transfer",
    "TransferResult": "chest.transfer.result",
    "start_in_every_process": "chest.transfer.every_process",
}

if not TYPE_CHECKING:  # a transfer by hand needs no APScheduler
    _load = loaded_on_use(__name__, _HOMES)

    def __getattr__(name: str) -> Any:
        if name != "ScheduledExporter":
            return _load(name)
        text = "chest: chest.transfer.ScheduledExporter is now called ScheduledTransfer; the old name still works"
        logging.getLogger("chest.transfer").warning(text)
        globals()[name] = _load("ScheduledTransfer")
        return globals()[name]
