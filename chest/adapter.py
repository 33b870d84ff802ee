"""What adapters of frameworks use of Chest, beside the names that every user has.

An adapter translates, and holds no rule of its own. It imports from ``chest``, ``chest.adapter``, ``chest.dockerflow`` and
``chest.transfer`` and from nowhere else: an import-linter contract says so. Applications need nothing from this module.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chest.chests.contract import Chest, ReadableChest
from chest.chests.influxdb.url import influx_url
from chest.chests.registry import builtin_factory, open_chest, safe_url, variables_chest, variables_source
from chest.errors import ChestWriteError, MissingDependencyError
from chest.native import Dispatch
from chest.record.counters import Counters
from chest.record.text import storable_text
from chest.recorder.part_records import PartRecords
from chest.request.body.whole_body import WHOLE_KINDS, is_whole
from chest.request.client.user import loaded_user_id
from chest.request.closed_contexts import NO_REQUEST, current
from chest.request.context import ENVIRON_KEY
from chest.request.fields import ROUTE_CHARACTERS, mounted
from chest.request.framework import is_answer_of, known_of, record_answered, record_route, record_user
from chest.request.metadata import RequestMetadata
from chest.request.middleware import is_being_recorded
from chest.request.parts.sub_record import SubRecord
from chest.request.parts.work import RecordsWork, Work, Works
from chest.request.record_emitter import RecordEmitter
from chest.request.request_id import MOST_CHARACTERS
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Sanitizer
from chest.request.sending import asks_for_websocket
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
from chest.settings.arguments import Options, ScheduledTransferOptions
from chest.settings.asgi import refuse_asgi
from chest.settings.option import PREFIX, Option, Source
from chest.settings.service_name import service_of
from chest.settings.settings import Settings
from chest.settings.types import OptionType, tracked_names
from chest.system.lazy import loaded_on_use
from chest.transfer.plan import Plan as TransferPlan

if TYPE_CHECKING:
    from chest.cli.main import ChestCommands
    from chest.cli.settings import Setting, settings_of, show
    from chest.dockerflow.checks.running import Check
    from chest.dockerflow.dockerflow import register_built_in
    from chest.dockerflow.middleware import (
        ERROR_MESSAGE,
        ERROR_PATH,
        HEARTBEAT_PATH,
        LBHEARTBEAT_PATH,
        VERSION_PATH,
        told_request_id,
    )
    from chest.dockerflow.options import environment
    from chest.dockerflow.recorder_checks import RecorderChecks
    from chest.dockerflow.summary import RequestSummaries, SummaryAttributes

__all__ = [
    "ENVIRON_KEY",
    "ERROR_MESSAGE",
    "ERROR_PATH",
    "HEARTBEAT_PATH",
    "LBHEARTBEAT_PATH",
    "NO_REQUEST",
    "PREFIX",
    "ROUTE_CHARACTERS",
    "VERSION_PATH",
    "WHOLE_KINDS",
    "Bypass",
    "Check",
    "Chest",
    "ChestCommands",
    "ChestWriteError",
    "Counters",
    "Dispatch",
    "MissingDependencyError",
    "Option",
    "OptionType",
    "Options",
    "PartRecords",
    "ReadableChest",
    "RecordEmitter",
    "RecorderChecks",
    "RecordsWork",
    "RequestMetadata",
    "RequestSummaries",
    "ScheduledTransferOptions",
    "Setting",
    "Settings",
    "Source",
    "StartResponse",
    "SubRecord",
    "SummaryAttributes",
    "TransferPlan",
    "WSGIApplication",
    "WSGIEnvironment",
    "Work",
    "Works",
    "as_plain",
    "asks_for_websocket",
    "builtin_factory",
    "clean_request_id",
    "environment",
    "influx_url",
    "is_answer_of",
    "is_being_recorded",
    "is_whole",
    "known_of",
    "loaded_on_use",
    "loaded_user_id",
    "mounted",
    "open_chest",
    "record_answered",
    "record_route",
    "record_user",
    "refuse_asgi",
    "register_built_in",
    "safe_url",
    "service_of",
    "settings_of",
    "show",
    "storable_text",
    "told_request_id",
    "tracked_names",
    "variables_chest",
    "variables_source",
]

_clean: Final = Sanitizer(Redaction((), ())).clean


def clean_request_id(given: object) -> str:
    """An id of the application as every chest can store it: text of at most 255 characters."""
    return storable_text(str(given), MOST_CHARACTERS)


class Bypass:
    """Notices requests that a framework serves and that passed no middleware of Chest's. The first one is logged.

    :param notice: what happened, and what to do; for the log.
    :param logger: the name of the logger.
    """

    def __init__(self, notice: str, logger: str = "chest") -> None:
        self._notice = notice
        self._logger = logging.getLogger(logger)
        self._has_logged = False

    def look(self, environ: WSGIEnvironment) -> bool:
        """True if the request with this ``environ`` bypasses; not if it is one that another request makes in passing."""
        if ENVIRON_KEY in environ or current() is not NO_REQUEST:
            return False
        if not self._has_logged:
            self._has_logged = True
            self._logger.warning("chest: %s", self._notice)
        return True


def as_plain(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of any type, converted to what every chest can store; nothing is redacted."""
    plain, _ = _clean(dict(variables))
    return plain


_HOMES: Final = {
    "ChestCommands": "chest.cli.main",
    **dict.fromkeys(("Setting", "settings_of", "show"), "chest.cli.settings"),
    "Check": "chest.dockerflow.checks.running",
    "register_built_in": "chest.dockerflow.dockerflow",
    **dict.fromkeys(
        ("ERROR_MESSAGE", "ERROR_PATH", "HEARTBEAT_PATH", "LBHEARTBEAT_PATH", "VERSION_PATH", "told_request_id"),
        "chest.dockerflow.middleware",
    ),
    "environment": "chest.dockerflow.options",
    "RecorderChecks": "chest.dockerflow.recorder_checks",
    **dict.fromkeys(("RequestSummaries", "SummaryAttributes"), "chest.dockerflow.summary"),
}
"""Names of the commands and of Dockerflow, which a server that only records never loads."""

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
