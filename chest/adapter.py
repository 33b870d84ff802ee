"""The door for adapters of frameworks: what they need of Chest beside what every user does.

An adapter translates, and holds no rule of its own. It comes in by ``chest``, by this module and, for commands, by
``chest.cli``, and knows no other room: an import-linter contract says so. Whoever uses a framework that has an adapter, or
wraps an application by hand, needs nothing of what is in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chest.chests.base import Chest
from chest.chests.influx_target import influx_url
from chest.chests.registry import builtin_factory, open_chest, safe_url, variables_chest, variables_source
from chest.counters import Counters
from chest.errors import ChestWriteError, MissingDependencyError
from chest.middleware import service_of
from chest.option import PREFIX, Option, Source, places
from chest.option_types import OptionType, tracked_names
from chest.part_records import PartRecords
from chest.request.context import ENVIRON_KEY, NO_REQUEST, Facts
from chest.request.fields import ROUTE_CHARACTERS
from chest.request.middleware import is_being_recorded
from chest.request.part import RequestPart
from chest.request.recording import Recording
from chest.request.redaction import Redaction
from chest.request.request_id import MOST_CHARACTERS
from chest.request.sanitize import Sanitizer
from chest.settings import Settings
from chest.text import text
from chest.transfer.plan import Plan as ExportPlan
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "ENVIRON_KEY",
    "NO_REQUEST",
    "PREFIX",
    "ROUTE_CHARACTERS",
    "Chest",
    "ChestWriteError",
    "Counters",
    "ExportPlan",
    "Facts",
    "MissingDependencyError",
    "Option",
    "OptionType",
    "PartRecords",
    "Recording",
    "RequestPart",
    "Settings",
    "Source",
    "StartResponse",
    "WSGIApplication",
    "WSGIEnvironment",
    "as_plain",
    "builtin_factory",
    "clean_request_id",
    "influx_url",
    "is_being_recorded",
    "open_chest",
    "places",
    "safe_url",
    "service_of",
    "text",
    "tracked_names",
    "variables_chest",
    "variables_source",
]

_clean: Final = Sanitizer(Redaction((), ())).clean


def clean_request_id(given: object) -> str:
    """An id of the application's as it can be stored everywhere: text of at most 255 characters."""
    return text(str(given), MOST_CHARACTERS)


def as_plain(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of any type as every chest can hold them; nothing is hidden."""
    plain, _ = _clean(dict(variables))
    return plain
