"""Chest: WSGI middleware that leaves one record of every request in a store you own."""

from __future__ import annotations

from chest.errors import ChestError, ChestUnavailable, RecordRejected, SettingsError
from chest.middleware import ChestMiddleware
from chest.record import Outcome, Record
from chest.recorder import Recorder
from chest.request.context import RequestContext, current

__all__ = [
    "ChestError",
    "ChestMiddleware",
    "ChestUnavailable",
    "Outcome",
    "Record",
    "RecordRejected",
    "Recorder",
    "RequestContext",
    "SettingsError",
    "current",
]
__version__ = "0.1.0"
