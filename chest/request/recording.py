"""``Recording``: the end of a request, made into what the ring keeps of it, and offered, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from chest.counters import Counters
from chest.record import Record
from chest.record_id import RecordIds
from chest.request.context import Facts, RequestContext, finished_context
from chest.request.ending import Ending
from chest.request.request_id import MOST_CHARACTERS, RequestIds
from chest.request.selection import SAMPLE_RATE, Selection
from chest.row import (
    CHECK,
    METHOD_CHARACTERS,
    TIME_TO_FIRST_BYTE,
    Row,
    latin1_path,
    line_of,
    record_of,
    row_of,
    utf8_path,
)
from chest.text import storable, text

STATUS_INFERRED: Final = "chest.status_inferred"
ROUTE_CHARACTERS: Final = 512
MESSAGE_CHARACTERS: Final = 1024
PLAIN_BYTES: Final = 4096
"""A line that is no longer holds no value, no name and no path that would have to be cut."""

_perf_counter_ns = time.perf_counter_ns
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
    """Makes the row of a finished request and offers it.

    :param offer: takes the row as a line of JSON; must not wait.
    :param selection: what of the request is kept.
    :param process: ids, resource and counters.
    """

    def __init__(self, offer: Callable[[bytes], object], selection: Selection, process: Process) -> None:
        self._offer = offer
        self._selection = selection
        self._clean = selection.sanitizer.clean
        self._is_plain = selection.sanitizer.is_plain
        self._tracks_all = selection.tracks_all
        self._is_judged = selection.is_sampled or selection.before_record is not None
        self._is_simple = selection.keeps_everything
        self._process = process
        self._pop_tail = process.record_ids.pop_tail
        self._refill_tails = process.record_ids.refill
        self._counters = process.counters
        self.finished_context = finished_context(process.counters)
        """What contexts become here."""

    def finish(self, known: Row, context: RequestContext, body_bytes: int, ending: Ending | None = None) -> None:
        """A request has ended. Whatever goes wrong in here is counted and never raised.

        Of the most common kind :class:`~chest.request.middleware.RequestMiddleware` makes the line itself, in the same way.

        :param known: the fields of the row from the request's id, as it came, to the path.
        :param ending: where it did not end with a complete body.
        """
        try:
            self._finish(known, context, body_bytes, ending)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)

    def end(self, ending: Ending) -> None:
        """:meth:`finish` for a request that ended in another way than most."""
        duration_ns = _perf_counter_ns() - ending.begin_ns
        context, time_ns = ending.context, ending.time_ns
        if context is None:
            return
        known = ending.request_id, time_ns, time_ns % CHECK, duration_ns, ending.method, ending.path
        try:
            if not (ending.outcome is None and ending.first_byte_ns and self._offered_stream(known, context, ending)):
                self._finish(known, context, ending.body_bytes, ending)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)

    def _offered_stream(self, known: Row, context: RequestContext, ending: Ending) -> bool:
        """Offer the record of a stream that ended well and of which nothing was told; False where it is no such one."""
        if context._facts is not None or not self._is_simple:
            return False
        context.__class__ = self.finished_context
        context._server_start_response = None
        if "://" in ending.path or not self._is_plain(context):
            return False
        first_byte_ns = ending.first_byte_ns - ending.begin_ns
        line = line_of((self._tail(), *known, context._status, ending.body_bytes, context, first_byte_ns))
        if line is None or len(line) > PLAIN_BYTES:
            return False
        self._offer(line)
        return True

    def went_wrong(self, context: RequestContext, trouble: Exception) -> None:
        """Something of ours raised: counted, and the request goes on."""
        context.__class__ = self.finished_context
        self._counters.add("dropped.internal_error")
        self._counters.error(f"while recording a request: {type(trouble).__name__}")

    def _finish(self, known: Row, context: RequestContext, body_bytes: int, ending: Ending | None) -> None:
        facts = context._facts
        if facts is not None:
            facts.at_end(context)
        context.__class__ = self.finished_context
        context._server_start_response = None
        if facts is not None and facts.is_excluded:
            return
        if "://" in known[5]:
            # Some servers hand a target in absolute form over as it is, with whatever password it holds.
            known = (*known[:5], latin1_path(self._selection.redaction.clean_url(utf8_path(known[5]))))
        row: Row = (self._tail(), *known, context._status, body_bytes, context)
        if self._is_simple and self._is_plain(context):
            if facts is not None or ending is not None:
                row = self._told(row, facts, ending, {})
            line = line_of(row)
            if line is not None and len(line) <= PLAIN_BYTES:
                self._offer(line)
                return
        self._offer_clean(row, facts, ending)

    def _tail(self) -> str:
        try:
            return self._pop_tail()
        except IndexError:
            return self._refill_tails()

    def _offer_clean(self, row: Row, facts: Facts | None, ending: Ending | None) -> None:
        """Offer a row of which nothing is known, if it is kept."""
        variables = _copy(row[9])
        if not self._tracks_all:
            variables = self._selection.tracked(row[5], variables)
        variables, notes = self._clean(variables)
        method, path = text(row[5], METHOD_CHARACTERS), storable(row[6])
        row = (*row[:5], method, path, row[7], row[8], variables)
        row = self._told(row, facts, ending, notes or {})
        if self._is_judged:
            record = record_of(row, self._process.resource)
            if not self._judged(record):
                return
            row = row_of(record)
        line = line_of(row)
        if line is None:
            self._counters.add("dropped.not_encodable")
        else:
            self._offer(line)

    def _told(self, row: Row, facts: Facts | None, ending: Ending | None, attributes: dict[str, Any]) -> Row:
        """The row with what most requests do not have."""
        route = outcome = error = None
        body_bytes: int = row[8]
        request_id: str = row[1]
        if facts is not None:
            error = facts.error
            body_bytes += facts.written_bytes
            if facts.request_id is not None:
                request_id = text(_text_of(facts.request_id), MOST_CHARACTERS)
            route = _clean_route(facts.route)
            if facts.known_attributes is not None:
                attributes.update(facts.known_attributes)
            if facts.trace_id is not None:
                attributes["trace_id"] = facts.trace_id
            if facts.attributes:
                self._tell(facts.attributes.copy(), attributes)
        if ending is not None:
            outcome = ending.outcome
            error = ending.error or error
            if ending.first_byte_ns:
                attributes[TIME_TO_FIRST_BYTE] = ending.first_byte_ns - ending.begin_ns
            if ending.is_status_inferred:
                attributes[STATUS_INFERRED] = True
            if ending.message:
                self._tell({"exception.message": ending.message}, attributes)
        if "exception.message" in attributes:
            # Cut only now: half a URL would keep half its password.
            attributes["exception.message"] = text(str(attributes["exception.message"]), MESSAGE_CHARACTERS)
        return (row[0], request_id, *row[2:8], body_bytes, row[9], route, outcome, error, attributes)

    def _tell(self, told: dict[str, Any], attributes: dict[str, Any]) -> None:
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


def _clean_route(route: object) -> str | None:
    if route is None or (
        type(route) is str and len(route) <= ROUTE_CHARACTERS and route.isascii() and route.isprintable()
    ):
        return route
    return text(str(route), ROUTE_CHARACTERS)


def _text_of(request_id: object) -> str:
    """What the application set, as text; its class where its ``__str__`` raises."""
    try:
        return str(request_id)
    except Exception:  # noqa: BLE001 - the application's
        return f"<{type(request_id).__name__}>"
