"""``RecordEmitter``: makes the row of a finished request, and offers it to the ring once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from chest import native
from chest.record.encoding import decode, encode
from chest.record.record import Record
from chest.record.row import (
    CHECK,
    METHOD_CHARACTERS,
    TIME_TO_FIRST_BYTE,
    URL_SCHEME,
    Row,
    code_of,
    latin1_path,
    line_of,
    outcome_of_code,
    record_of,
    records_of,
    row_of,
    utf8_path,
)
from chest.record.secret_text import may_hold_secret
from chest.record.text import has_no_surrogates, storable, storable_text
from chest.request.client.user import USER
from chest.request.closed_contexts import finished_context
from chest.request.completion import Process, RequestCompletion
from chest.request.context import RequestContext
from chest.request.fields import as_text, clean_route, clean_size, clean_status, counted_labels, is_plain
from chest.request.metadata import TRACE_FIELDS, RequestMetadata
from chest.request.request_id import MOST_CHARACTERS
from chest.request.sanitizer.exception_message import MESSAGE
from chest.request.sanitizer.report import REDACTED_COUNT, SANITIZED
from chest.request.sanitizer.stack_trace import STACK
from chest.request.selection import SAMPLE_RATE, Selection

STATUS_INFERRED: Final = "chest.status_inferred"
MESSAGE_CHARACTERS: Final = 1024
_MOST_ROUTES: Final = 1000
_MOST_PATHS: Final = 1000


class RecordEmitter:
    """Makes the row of a finished request and offers it.

    :param offer: takes the row as a line of JSON; must not wait.
    :param selection: what of the request is kept.
    :param process: ids, resource and counters.
    """

    def __init__(self, offer: Callable[[bytes], object], selection: Selection, process: Process) -> None:
        self._offer = offer
        self._selection = selection
        self._clean = selection.sanitizer.clean
        self._process = process
        self._counters = process.counters
        self._routes: dict[str, str] = {}
        self._clean_paths: set[str] = set()
        self.finished_context = finished_context(process.counters)
        """What contexts become here."""

    def finish(self, completion: RequestCompletion, context: RequestContext) -> None:
        """Record a request that has ended. An exception in here is counted and never raised."""
        duration_ns = native.perf_counter_ns() - completion.begin_ns
        try:
            if completion.is_websocket:
                self._process.websockets.discard(completion)
                completion.judge_websocket(context)
            metadata = context._metadata
            if metadata is not None:
                metadata.at_end(context)
            self._close(context)
            if metadata is None or not metadata.is_excluded:
                self._offer_row(self._row(completion, context, metadata, duration_ns))
                if self._process.tally is not None and completion.is_request:
                    self._count(completion, context, metadata, duration_ns)
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)
        finally:
            if context._in_flight is not None:
                self.forget(context)

    def went_wrong(self, context: RequestContext, trouble: Exception) -> None:
        """Count an exception in Chest's own code; the request goes on."""
        self._close(context)
        if context._in_flight is not None:
            self.forget(context)
        self._counters.add("dropped.internal_error")
        self._counters.fault("while recording a request: %s", type(trouble).__name__)

    def forget(self, context: RequestContext) -> None:
        """Free the in-flight slot: the request has ended, and its record, if any, was offered."""
        slot, context._in_flight = context._in_flight, None
        self._process.in_flight.end(slot)

    def new_tail(self) -> str:
        """The second half of a record's id."""
        return self._process.record_ids.new_tail()

    # The compiled part also calls these: each is the rule of one field.

    def clean_path(self, path: object) -> str:
        """A path as it may be kept: some servers hand a target in absolute form over as it is, with whatever password it
        holds; and a "?" that came percent-encoded is part of the path."""
        known = as_text(path)
        if not may_hold_secret(known) or known in self._clean_paths:
            return known
        cleaned = latin1_path(self._selection.redaction.clean_text(utf8_path(known)))
        if cleaned == known:
            if len(self._clean_paths) >= _MOST_PATHS:
                self._clean_paths.clear()
            self._clean_paths.add(known)
        return cleaned

    def clean_route(self, route: object) -> str | None:
        """A route as it may be kept: an application may have named the request by its raw path."""
        known = self._routes.get(route) if type(route) is str else None
        if known is None:
            known = clean_route(route)
            if known is not None and may_hold_secret(known):
                known = self._selection.redaction.clean_text(known)
            if known is not None and type(route) is str and len(self._routes) < _MOST_ROUTES:
                self._routes[route] = known
        return known

    @staticmethod
    def clean_id(request_id: object) -> str:
        """An id that the application gave the request, as it may be kept."""
        return storable_text(as_text(request_id), MOST_CHARACTERS)

    def sample_rate(self, record_id: str, status: object, duration_ns: int) -> float | None:
        """The rate under which a request that ended as its status says is kept; None if it is not."""
        return self._selection.sample_rate(record_id, outcome_of_code(code_of(status)), duration_ns)

    def last_word(self, line: bytes) -> bytes | None:
        """What ``before_record`` leaves of a line, which is the line itself if nothing was changed; None if it drops the record."""
        (record,) = records_of([decode(line)], self._process.resource)
        before = _changeable(record)
        if not self._ask_before_record(record):
            return None
        if before is not None and _changeable(record) == before:
            return line
        return self._encoded(row_of(record))

    def add_metadata(self, metadata: RequestMetadata, attributes: dict[str, Any]) -> None:
        """Add what was said of the request, as clean as variables are."""
        if metadata.known_attributes is not None:
            attributes.update(metadata.known_attributes)
        if metadata.trace is not None:
            said = zip(TRACE_FIELDS, metadata.trace, strict=True)
            attributes.update((name, value) for name, value in said if value is not None)
        if metadata.attributes or metadata.user is not None:
            self._add(self._said(metadata), attributes)
        self._limit_message(attributes)

    def _said(self, metadata: RequestMetadata) -> dict[str, Any]:
        """What was said of this request alone, with the id of its user as it may be kept."""
        said = dict(metadata.attributes or ())
        user_id = said.pop(USER, None)
        user_id = metadata.user if user_id is None else user_id
        kept = "" if user_id is None else self._selection.user_ids.kept(user_id)
        return {**said, USER: kept} if kept else said

    def place_of(self, key: tuple[Any, ...], program: Mapping[str, str] | None) -> int:
        """Where requests are counted that end so: method, route, status, error, outcome."""
        method, route, status, error, outcome = key
        labels = counted_labels(method, self.clean_route(route), status, error, outcome, program or {})
        place: int = self._process.tally.place_of(key if is_plain(key) else labels, labels)
        return place

    def _count(
        self, completion: RequestCompletion, context: RequestContext, metadata: RequestMetadata | None, duration_ns: int
    ) -> None:
        """Count the request, whether its record is kept or not."""
        route = error = program = None
        request_id: object = completion.request_id
        if metadata is not None:
            route, error, program = metadata.route, metadata.error, metadata.known_attributes
            request_id = request_id if metadata.request_id is None else metadata.request_id
        key = completion.method, route, context._status, completion.error or error, completion.outcome
        tally = self._process.tally
        place = tally.known.get(key) if is_plain(key) else None
        place = self.place_of(key, program) if place is None else place
        tally.count(place, completion.time_ns + duration_ns, duration_ns, self.clean_id(request_id))

    def _close(self, context: RequestContext) -> None:
        """Ignore what the application writes from now on, so that the record shows one moment."""
        context.__class__ = self.finished_context
        context._server_start_response = context._server_write = None

    def _row(
        self, completion: RequestCompletion, context: RequestContext, metadata: RequestMetadata | None, duration_ns: int
    ) -> Row:
        route = path = request_id = error = None
        body_bytes = completion.body_bytes
        variables = dict.copy(context)
        if self._selection.tracked_names is not None:
            variables = self._selection.tracked(completion.method, variables)
        variables, notes = self._clean(variables)
        attributes = notes or {}
        if context._scheme is not None:
            attributes[URL_SCHEME] = context._scheme
        if metadata is not None:
            route = self.clean_route(metadata.route) if metadata.has_more else metadata.route
            path, request_id, error = metadata.path, metadata.request_id, metadata.error
            body_bytes += metadata.written_bytes
            self.add_metadata(metadata, attributes)
        self._tell_end(completion, attributes)
        path = self.clean_path(completion.path if path is None else path)
        return (
            completion.tail,
            completion.request_id if request_id is None else self.clean_id(request_id),
            completion.time_ns,
            completion.time_ns % CHECK,
            duration_ns,
            storable_text(as_text(completion.method), METHOD_CHARACTERS),
            path if has_no_surrogates(path) else storable(path),
            clean_status(context._status),
            clean_size(body_bytes),
            variables,
            route,
            completion.outcome,
            completion.error or error,
            attributes,
        )

    def _tell_end(self, completion: RequestCompletion, attributes: dict[str, Any]) -> None:
        if completion.first_byte_ns:
            attributes[TIME_TO_FIRST_BYTE] = completion.first_byte_ns - completion.begin_ns
        if completion.is_status_inferred:
            attributes[STATUS_INFERRED] = True
        if completion.error:
            self._add({MESSAGE: completion.message or "", STACK: completion.stack or ""}, attributes)
            self._limit_message(attributes)

    def _add(self, said: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Add attributes, as clean as variables are, and what was done to them to what was done to the variables."""
        said.pop(SANITIZED, None)  # these two are Chest's alone to tell
        said.pop(REDACTED_COUNT, None)
        clean, notes = self._clean(said)
        attributes.update(clean)
        if notes and SANITIZED in notes:
            attributes[SANITIZED] = attributes.get(SANITIZED, {}) | notes[SANITIZED]
        if notes and REDACTED_COUNT in notes:
            attributes[REDACTED_COUNT] = attributes.get(REDACTED_COUNT, 0) + notes[REDACTED_COUNT]

    def _limit_message(self, attributes: dict[str, Any]) -> None:
        """Cut the message only now, when it is clean: half a URL would keep half its password."""
        selection = self._selection
        for name, is_kept in ((MESSAGE, selection.keeps_messages), (STACK, selection.keeps_stacktraces)):
            if not (is_kept and attributes.get(name)):
                attributes.pop(name, None)
        message = as_text(attributes.get(MESSAGE, ""))
        if len(message) <= MESSAGE_CHARACTERS:
            return
        attributes[MESSAGE] = message[:MESSAGE_CHARACTERS]
        sanitized = attributes[SANITIZED] = dict(attributes.get(SANITIZED, ()))
        before = sanitized.get(MESSAGE)
        sanitized[MESSAGE] = f"{before}, value_bytes" if before else "value_bytes"

    def _offer_row(self, row: Row) -> None:
        selection = self._selection
        if selection.is_sampled or selection.before_record is not None:
            record = record_of(row, self._process.resource)
            if selection.is_sampled:
                rate = selection.sample_rate(record.id, record.outcome, record.duration_ns)
                if rate is None:
                    return
                record.attributes[SAMPLE_RATE] = rate
            if not self._ask_before_record(record):
                return
            row = row_of(record)
        if (line := self._encoded(row)) is not None:
            self._offer(line)

    def _encoded(self, row: Row) -> bytes | None:
        if (line := line_of(row)) is None:
            self._counters.add("dropped.not_encodable")
        return line

    def _ask_before_record(self, record: Record) -> bool:
        """Call the user's ``before_record``: False, and only False, drops the record. A failure is counted."""
        try:
            return self._selection.before_record is None or self._selection.before_record(record) is not False
        except Exception as error:  # noqa: BLE001 - the user's code must not fail the request, nor lose its record
            self._counters.add("before_record_failed")
            self._counters.fault("before_record raised %r", error)
            return True


def _changeable(record: Record) -> bytes | None:
    """Of a record what ``before_record`` can change; None if it cannot be encoded, whatever an encoder raises."""
    try:
        return encode((record.variables, record.attributes))
    except Exception:  # noqa: BLE001 - such as of an object without JSON that the function has put there
        return None
