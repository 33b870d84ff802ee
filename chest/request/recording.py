"""``Recording``: the end of a request, made into what the ring keeps of it, and offered, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from chest import speedups
from chest.counters import Counters
from chest.encoding import NEWLINE, encode_line
from chest.record import Record
from chest.record_id import RecordIds
from chest.request.context import Facts, RequestContext, finished_context
from chest.request.ending import Ending
from chest.request.fields import as_text, clean_route, clean_size, clean_status
from chest.request.notes import REDACTED_COUNT, SANITIZED
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
MESSAGE_CHARACTERS: Final = 1024
PLAIN_BYTES: Final = 4096
"""A line that is no longer holds no value, no name and no path that would have to be cut."""

_perf_counter_ns = speedups.perf_counter_ns
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

    @property
    def in_flight(self) -> Any:
        """Notes requests that are being served: ``begin`` gives a slot or None, ``end`` takes it; None where none is noted."""

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

        :param known: the first fields of the row, to the path, with the request's id as it came.
        :param ending: where it did not end with a complete body.
        """
        try:
            facts = context._facts
            if facts is not None and not facts.has_more and ending is None and self._is_simple:
                # An adapter's, of whose requests most have a route and the attributes of an endpoint, which are the program's
                # and clean, and nothing beside: a fifth of what such a request pays would go into finding that out.
                facts.at_end(context)
                context.__class__ = self.finished_context
                context._server_start_response = context._server_write = None
                path = known[6]
                is_plain_path = type(path) is str and "=" not in path and ":" not in path
                if is_plain_path and not facts.has_more and self._is_plain(context):
                    told = facts.route, None, None, facts.known_attributes or {}
                    if self._offered((*known, context._status, body_bytes, context, *told)):
                        return
            self._finish(known, context, body_bytes, ending)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)
        finally:
            if context._in_flight is not None:
                self.forget(context)

    def end(self, ending: Ending, context: RequestContext) -> None:
        """:meth:`finish` for a request that ended in another way than most."""
        duration_ns = _perf_counter_ns() - ending.begin_ns
        time_ns = ending.time_ns
        known = ending.tail, ending.request_id, time_ns, time_ns % CHECK, duration_ns, ending.method, ending.path
        try:
            if not (ending.outcome is None and ending.first_byte_ns and self._offered_stream(known, context, ending)):
                self._finish(known, context, ending.body_bytes, ending)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)
        finally:
            if context._in_flight is not None:
                self.forget(context)

    def _offered_stream(self, known: Row, context: RequestContext, ending: Ending) -> bool:
        """Offer the record of a stream that ended well and of which nothing was told; False where it is no such one."""
        if context._facts is not None or not self._is_simple:
            return False
        context.__class__ = self.finished_context
        context._server_start_response = context._server_write = None
        path = ending.path
        if type(path) is not str or "=" in path or ":" in path or not self._is_plain(context):
            return False
        first_byte_ns = ending.first_byte_ns - ending.begin_ns
        row = *known, context._status, ending.body_bytes, context, first_byte_ns
        try:  # as in `_offered`, without the call
            line = encode_line(row, None, NEWLINE)
        except (TypeError, ValueError):
            return False
        if len(line) > PLAIN_BYTES:
            return False
        self._offer(line)
        return True

    def _offered(self, row: Row) -> bool:
        """Offer a row whose variables are plain; False where it is none of the most, which all can be encoded and are short."""
        try:
            line = encode_line(row, None, NEWLINE)
        except (TypeError, ValueError):  # a lone surrogate, or a name of a class of the application's
            return False
        if len(line) > PLAIN_BYTES:
            return False
        self._offer(line)
        return True

    def went_wrong(self, context: RequestContext, trouble: Exception) -> None:
        """Something of ours raised: counted, and the request goes on."""
        context.__class__ = self.finished_context
        context._server_start_response = context._server_write = None
        if context._in_flight is not None:
            self.forget(context)
        self._counters.add("dropped.internal_error")
        self._counters.error(f"while recording a request: {type(trouble).__name__}")

    def forget(self, context: RequestContext) -> None:
        """The request is no longer being served, and its record offered if there is to be one."""
        slot, context._in_flight = context._in_flight, None
        self._process.in_flight.end(slot)

    def new_tail(self) -> str:
        """The second half of a record's id."""
        try:
            return self._pop_tail()
        except IndexError:
            return self._refill_tails()

    def clean_path(self, path: object) -> str:
        """A path as it may be kept: some servers hand a target in absolute form over as it is, with whatever password it
        holds; and a "?" that came percent-encoded is part of the path."""
        known = as_text(path)
        if "=" in known or "://" in known:
            return latin1_path(self._selection.redaction.clean_url(utf8_path(known)))
        return known

    def _finish(self, known: Row, context: RequestContext, body_bytes: int, ending: Ending | None) -> None:
        facts = context._facts
        if facts is not None:
            facts.at_end(context)
        context.__class__ = self.finished_context
        context._server_start_response = context._server_write = None
        if facts is not None and facts.is_excluded:
            return
        row: Row = (*known[:6], self.clean_path(known[6]), context._status, body_bytes, context)
        if self._is_simple and self._is_plain(context):
            if facts is not None or ending is not None:
                row = self._told(row, facts, ending, {})
            if self._offered(row):
                return
        self._offer_clean((*row[:8], body_bytes, context), facts, ending)

    def _offer_clean(self, row: Row, facts: Facts | None, ending: Ending | None) -> None:
        """Offer a row of which nothing is known, if it is kept."""
        variables = _copy(row[9])
        if not self._tracks_all:
            variables = self._selection.tracked(row[5], variables)
        variables, notes = self._clean(variables)
        method, path = text(as_text(row[5]), METHOD_CHARACTERS), storable(row[6])
        row = (*row[:5], method, path, clean_status(row[7]), clean_size(row[8]), variables)
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
                request_id = text(as_text(facts.request_id), MOST_CHARACTERS)
            route = clean_route(facts.route)
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
        message = as_text(attributes.get("exception.message", ""))
        if len(message) > MESSAGE_CHARACTERS:
            # Cut only now: half a URL would keep half its password.
            attributes["exception.message"] = message[:MESSAGE_CHARACTERS]
            sanitized = attributes[SANITIZED] = dict(attributes.get(SANITIZED, ()))
            before = sanitized.get("exception.message")
            sanitized["exception.message"] = f"{before}, value_bytes" if before else "value_bytes"
        return (row[0], request_id, *row[2:8], body_bytes, row[9], route, outcome, error, attributes)

    def _tell(self, told: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Add attributes, as clean as variables are, and what was done to them to what was done to the variables."""
        told.pop(SANITIZED, None)  # these two are nobody else's to tell
        told.pop(REDACTED_COUNT, None)
        clean, notes = self._clean(told)
        attributes.update(clean)
        if notes is None:
            return
        if SANITIZED in notes:
            attributes[SANITIZED] = attributes.get(SANITIZED, {}) | notes[SANITIZED]
        if REDACTED_COUNT in notes:
            attributes[REDACTED_COUNT] = attributes.get(REDACTED_COUNT, 0) + notes[REDACTED_COUNT]

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
