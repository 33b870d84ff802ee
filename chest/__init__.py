"""Chest: WSGI middleware that leaves one record of every request in a store you own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.chests.contract import Chest, ReadableChest
    from chest.chests.memory import MemoryChest
    from chest.chests.query import Query
    from chest.errors import ChestError, ChestUnavailable, RecordRejected, SettingsError
    from chest.middleware import ChestMiddleware
    from chest.record.record import Outcome, OutcomeName, Record
    from chest.recorder.recorder import Recorder
    from chest.recorder.stats import RecorderStats
    from chest.request.client.address import client_address
    from chest.request.closed_contexts import context_of, current
    from chest.request.context import RequestContext

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

_HOMES: Final = {
    **dict.fromkeys(("Chest", "ReadableChest"), "chest.chests.contract"),
    "MemoryChest": "chest.chests.memory",
    "Query": "chest.chests.query",
    **dict.fromkeys(("ChestError", "ChestUnavailable", "RecordRejected", "SettingsError"), "chest.errors"),
    "ChestMiddleware": "chest.middleware",
    **dict.fromkeys(("Outcome", "OutcomeName", "Record"), "chest.record.record"),
    "Recorder": "chest.recorder.recorder",
    "RecorderStats": "chest.recorder.stats",
    "client_address": "chest.request.client.address",
    **dict.fromkeys(("context_of", "current"), "chest.request.closed_contexts"),
    "RequestContext": "chest.request.context",
}
"""Loaded on use: a command that asks a store needs none of what records requests, and shall answer at once."""

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
