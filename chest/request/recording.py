"""``Recording``: the end of a request, made into its record and offered, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from chest.counters import Counters
from chest.record import Record
from chest.record_id import RecordIds
from chest.request.context import Facts, FinishedContext
from chest.request.request_id import MOST_CHARACTERS, RequestIds
from chest.request.response import TIME_TO_FIRST_BYTE, Response
from chest.request.sanitize import text
from chest.request.selection import SAMPLE_RATE, Selection

PATH_CHARACTERS: Final = 2048
ROUTE_CHARACTERS: Final = 512
MESSAGE_CHARACTERS: Final = 1024
METHOD_CHARACTERS: Final = 32
_KNOWN_METHODS: Final = frozenset(
    ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY")
)
_STATUSES: Final[dict[str | None, int]] = {}
"""Status lines seen, with their codes: an application has few, and a bound keeps it so."""
_MOST_STATUSES: Final = 256

_perf_counter_ns = time.perf_counter_ns
_new = tuple.__new__
_copy = dict.copy


class Process(Protocol):
    """What the room of the request needs from whoever owns the ring of this process."""

    mark: Any
    """``mark[0]`` is 1 while the process is ready for requests; 0 before the first one and after a fork."""
    counters: Counters
    request_ids: RequestIds
    record_ids: RecordIds

    @property
    def resource(self) -> tuple[str, str, str]:
        """Service, release and host."""

    def prepare(self) -> None:
        """Make this process ready: called before a request's application whenever ``mark[0]`` is 0."""


class Recording:
    """Makes the record of a finished request and offers it.

    :param offer: takes the record; must not wait.
    :param selection: what of the request is kept.
    :param process: ids, resource and counters.
    """

    def __init__(self, offer: Callable[[Record], object], selection: Selection, process: Process) -> None:
        self._offer = offer
        self._selection = selection
        self._clean = selection.sanitizer.clean
        self._tracks_all = selection.tracks_all
        self._is_judged = selection.is_sampled or selection.before_record is not None
        self._process = process
        self._pop_tail = process.record_ids.pop_tail
        self._refill_tails = process.record_ids.refill
        self._service, self._release, self._host = process.resource
        self._counters = process.counters

    def finish(self, response: Response, outcome: str) -> None:
        """The request has ended. Told again it does nothing; whatever goes wrong in here is counted and never raised."""
        duration_ns = _perf_counter_ns() - response.begin_ns
        context = response.context
        if context is None:
            return
        response.context = None
        try:
            facts = context._facts
            if facts is not None:
                facts.at_end(context)
            # The snapshot, before anything else: other threads may have the context and still write to it.
            variables = _copy(context)
            request_id, time_ns = context.request_id, response.time_ns
            method, path, status = response.method, response.path, _STATUSES.get(response.status)
            if status is None:
                status = _status_code(response.status)
            if outcome == "ok" and (status is None or status >= 500):
                outcome = "error"
            if not self._tracks_all:
                variables = self._selection.tracked(method, variables)
            variables, attributes = self._clean(variables)
            if attributes is None:
                attributes = {}
            if response.body_bytes:
                attributes["http.response.body.size"] = response.body_bytes
            route = error = None
            if facts is not None:
                if facts.is_excluded:
                    return
                route, error = facts.route, facts.error
                if facts.known_attributes is not None:
                    attributes.update(facts.known_attributes)
                if route is not None and not (
                    type(route) is str and len(route) <= ROUTE_CHARACTERS and route.isascii() and route.isprintable()
                ):
                    route = text(str(route), ROUTE_CHARACTERS)
            if response.is_rare or (facts is not None and facts.attributes):
                error = self._tell(response, facts, attributes) or error
            if request_id is not response.generated_id:
                request_id = text(_text_of(request_id), MOST_CHARACTERS)
            if method not in _KNOWN_METHODS:
                method = text(method, METHOD_CHARACTERS)
            if not path.isascii() or not path.isprintable() or len(path) > PATH_CHARACTERS or "://" in path:
                # Some servers hand a target in absolute form over as it is, with whatever password it holds.
                path = text(self._selection.redaction.clean_url(_utf8(path)), PATH_CHARACTERS)
            try:
                tail = self._pop_tail()
            except IndexError:
                tail = self._refill_tails()
            # A named tuple's own constructor is a Python call.
            record: Record = _new(
                Record,
                (
                    f"{time_ns:016x}{tail}", request_id, time_ns, duration_ns, method, path, route, status, outcome, error,
                    variables, attributes, self._service, self._release, self._host,
                ),
            )  # fmt: skip
            if not self._is_judged or self._judged(record):
                self._offer(record)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self._counters.add("dropped.internal_error")
            self._counters.error(f"while recording a request: {type(trouble).__name__}")
        finally:
            context._counters = self._counters
            context.__class__ = FinishedContext

    def _tell(self, response: Response, facts: Facts | None, attributes: dict[str, Any]) -> str | None:
        """What most requests do not have, into the attributes; returns the class of the exception that ended the response."""
        error = None
        if facts is not None and facts.attributes:
            self._tell_attributes(facts.attributes.copy(), attributes)
        if response.is_rare:
            error = response.error
            if response.first_byte_ns:
                attributes[TIME_TO_FIRST_BYTE] = response.first_byte_ns - response.begin_ns
            if response.message:
                self._tell_attributes({"exception.message": response.message}, attributes)
            if response.trace_id is not None:
                attributes["trace_id"] = response.trace_id
        if "exception.message" in attributes:
            # Cut only now: half a URL would keep half its password.
            attributes["exception.message"] = text(str(attributes["exception.message"]), MESSAGE_CHARACTERS)
        return error

    def _tell_attributes(self, told: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Add attributes, as clean as variables are, and what was done to them to what was done to the variables."""
        clean, notes = self._clean(told)
        attributes.update(clean)
        if notes is None:
            return
        if "chest.sanitized" in notes:
            attributes["chest.sanitized"] = attributes.get("chest.sanitized", {}) | notes["chest.sanitized"]
        if "chest.redacted" in notes:
            attributes["chest.redacted"] = attributes.get("chest.redacted", 0) + notes["chest.redacted"]

    def _judged(self, record: Record) -> bool:
        """Whether the record is kept by the sample, and by the user's last word: False, and only False, drops it."""
        selection = self._selection
        if selection.is_sampled:
            rate = selection.sample_rate(record.id, record.outcome, record.duration_ns)
            if rate is None:
                return False
            record.attributes[SAMPLE_RATE] = rate
        if selection.before_record is None:
            return True
        try:
            return selection.before_record(record) is not False
        except Exception as error:  # noqa: BLE001 - the user's code must not fail the request, nor lose its record
            self._counters.add("before_record_failed")
            self._counters.error(f"before_record raised {error!r}")
            return True


def _status_code(status: str | None) -> int | None:
    """The code of a status line that was not seen before; None where there is none."""
    if not isinstance(status, str) or not (status[:3].isascii() and status[:3].isdigit() and len(status) >= 3):
        return None
    code = int(status[:3])
    if len(_STATUSES) < _MOST_STATUSES and len(status) < _MOST_STATUSES:
        _STATUSES[status] = code
    return code


def _text_of(request_id: object) -> str:
    """What the application set, as text; its class where its ``__str__`` raises."""
    try:
        return str(request_id)
    except Exception:  # noqa: BLE001 - the application's
        return f"<{type(request_id).__name__}>"


def _utf8(path: str) -> str:
    """PEP 3333 hands the path over as Latin-1 whatever it was; on the wire it was most likely UTF-8."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path
