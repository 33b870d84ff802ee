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
from chest.row import CHECK, Row, latin1_path, record_of, row_of, utf8_path
from chest.text import text

TIME_TO_FIRST_BYTE: Final = "chest.time_to_first_byte_ns"
STATUS_INFERRED: Final = "chest.status_inferred"
ROUTE_CHARACTERS: Final = 512
MESSAGE_CHARACTERS: Final = 1024

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

    :param offer: takes the row; must not wait.
    :param selection: what of the request is kept.
    :param process: ids, resource and counters.
    """

    def __init__(self, offer: Callable[[Row], object], selection: Selection, process: Process) -> None:
        self._offer = offer
        self._selection = selection
        self._clean = selection.sanitizer.clean
        self._is_plain = selection.sanitizer.is_plain
        self._tracks_all = selection.tracks_all
        self._is_judged = selection.is_sampled or selection.before_record is not None
        self._is_simple = selection.tracks_all and not self._is_judged
        self._process = process
        self._pop_tail = process.record_ids.pop_tail
        self._refill_tails = process.record_ids.refill
        self._counters = process.counters
        self._finished_context = finished_context(process.counters)

    def finish_complete(
        self,
        context: RequestContext,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        begin_ns: int,
        body_bytes: int,
    ) -> None:
        """A request has ended with a complete body, as most do. Whatever goes wrong in here is counted and never raised.

        :param request_id: the one it came with.
        """
        duration_ns = _perf_counter_ns() - begin_ns
        try:
            if context._facts is not None or not self._is_simple:
                self._finish(context, request_id, method, path, time_ns, duration_ns, body_bytes, None)
                return
            # From here on what is written goes nowhere, so that another thread cannot change what was found plain.
            context.__class__ = self._finished_context
            context._server_start_response = None
            if "://" in path or not self._is_plain(context):
                self._finish(context, request_id, method, path, time_ns, duration_ns, body_bytes, None)
                return
            try:
                tail = self._pop_tail()
            except IndexError:
                tail = self._refill_tails()
            self._offer(
                (
                    tail, request_id, time_ns, time_ns % CHECK, duration_ns, method, path, context._status, body_bytes,
                    context,
                )
            )  # fmt: skip
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self._went_wrong(context, trouble)

    def finish(self, ending: Ending) -> None:
        """A request has ended in any other way. Whatever goes wrong in here is counted and never raised."""
        duration_ns = _perf_counter_ns() - ending.begin_ns
        context = ending.context
        if context is None:
            return
        try:
            self._finish(
                context, ending.request_id, ending.method, ending.path, ending.time_ns, duration_ns, ending.body_bytes,
                ending,
            )  # fmt: skip
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self._went_wrong(context, trouble)

    def _finish(
        self,
        context: RequestContext,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        duration_ns: int,
        body_bytes: int,
        ending: Ending | None,
    ) -> None:
        facts = context._facts
        if facts is not None:
            facts.at_end(context)
        context.__class__ = self._finished_context
        context._server_start_response = None
        if facts is not None and facts.is_excluded:
            return
        variables, notes = self._variables(method, context)
        if "://" in path:
            # Some servers hand a target in absolute form over as it is, with whatever password it holds.
            path = latin1_path(self._selection.redaction.clean_url(utf8_path(path)))
        try:
            tail = self._pop_tail()
        except IndexError:
            tail = self._refill_tails()
        row: Row = (
            tail,
            request_id,
            time_ns,
            time_ns % CHECK,
            duration_ns,
            method,
            path,
            context._status,
            body_bytes,
            variables,
        )
        if facts is not None or ending is not None or notes is not None:
            row = self._told(row, facts, ending, notes or {})
        if self._is_judged:
            record = record_of(row, self._process.resource)
            if not self._judged(record):
                return
            row = row_of(record)
        self._offer(row)

    def _variables(self, method: str, context: RequestContext) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What is kept of the variables, fit for every chest, and what was changed."""
        if self._is_simple and self._is_plain(context):
            return context, None
        if self._tracks_all:
            return self._clean(_copy(context))
        return self._clean(self._selection.tracked(method, _copy(context)))

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

    def _went_wrong(self, context: RequestContext, trouble: Exception) -> None:
        context.__class__ = self._finished_context
        self._counters.add("dropped.internal_error")
        self._counters.error(f"while recording a request: {type(trouble).__name__}")


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
