"""Chest: WSGI middleware that leaves one record of every request in a store you own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chest.chests.contract import Chest, ReadableChest
from chest.chests.query import Query
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SettingsError
from chest.lazy import loaded_on_use
from chest.middleware import ChestMiddleware
from chest.record.record import Outcome, OutcomeName, Record
from chest.recorder.recorder import Recorder
from chest.recorder.stats import RecorderStats
from chest.request.client.address import client_address
from chest.request.closed_contexts import context_of, current
from chest.request.context import RequestContext

if TYPE_CHECKING:
    from chest.chests.memory import MemoryChest

__all__ = [
    "Chest",
    "ChestError",
    "ChestMiddleware",
    "ChestUnavailable",
    "MemoryChest",
    "Outcome",
    "OutcomeName",
    "Query",
    "ReadableChest",
    "Record",
    "RecordRejected",
    "Recorder",
    "RecorderStats",
    "RequestContext",
    "SettingsError",
    "client_address",
    "context_of",
    "current",
]
__version__ = "0.1.0"

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, {"MemoryChest": "chest.chests.memory"})
