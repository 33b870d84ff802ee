"""``Recording``: the end of a request, made into its record and offered, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from chest.counters import Counters
from chest.record import Outcome, Record
from chest.request.context import Facts, FinishedContext, RequestContext
from chest.request.request_id import MOST_CHARACTERS, RequestIds
from chest.request.response import BODY_SIZE, TIME_TO_FIRST_BYTE, Response, StreamedResponse
from chest.request.sanitize import text
from chest.request.selection import SAMPLE_RATE, Selection

PATH_CHARACTERS: Final = 2048
ROUTE_CHARACTERS: Final = 512
METHOD_CHARACTERS: Final = 32
_KNOWN_METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
_KNOWN_STATUSES: Final = {f"{code}": code for code in range(100, 600)}

_perf_counter_ns = time.perf_counter_ns
_new = tuple.__new__


class Process(Protocol):
    """What the room of the request needs from whoever owns the ring of this process."""

    mark: Any
    """``mark[0]`` is 1 while the process is ready for requests; 0 before the first one and after a fork."""
    counters: Counters
    request_ids: RequestIds

    @property
    def resource(self) -> tuple[str, str, str]:
        """Service, release and host."""

    def prepare(self) -> None:
        """Make this process ready: called before a request's application whenever ``mark[0]`` is 0."""

    def new_record_id(self, time_ns: int) -> str:
        """A new ``Record.id`` for a request that began at ``time_ns`` (Unix time in nanoseconds)."""


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
        self._process = process
        self._new_id = process.new_record_id
        self._resource = tuple(process.resource)
        self._counters = process.counters

    def finish(self, response: Response, outcome: str) -> None:
        """The request has ended. Told again it does nothing; whatever goes wrong in here is counted and never raised."""
        duration_ns = _perf_counter_ns() - response.begin_ns
        context = response.context
        if context is None:
            return
        response.context = None
        try:
            record = self._record(response, context, outcome, duration_ns)
            if record is not None:
                self._offer(record)
        except Exception as error:  # noqa: BLE001 - the request goes on
            self._counters.add("dropped.internal_error")
            self._counters.error(f"while recording a request: {error!r}")
        finally:
            context._counters = self._counters
            context.__class__ = FinishedContext

    def _record(self, response: Response, context: RequestContext, outcome: str, duration_ns: int) -> Record | None:
        """The record; None where the request is not kept."""
        facts = context._facts
        if facts is not None and facts.is_excluded:
            return None
        status = _status_code(response.status)
        if outcome == Outcome.OK and (status is None or status >= 500):
            outcome = Outcome.ERROR
        record_id = self._new_id(response.time_ns)
        variables, attributes = self._selected(response.method, dict.copy(context))
        if response.body_bytes:
            attributes[BODY_SIZE] = response.body_bytes
        if facts is not None or response.is_rare:
            self._tell(response, facts, attributes)
        if self._selection.is_sampled:
            rate = self._selection.sample_rate(record_id, outcome, duration_ns)
            if rate is None:
                return None
            attributes[SAMPLE_RATE] = rate

        method, path, request_id = response.method, response.path, context.request_id
        if request_id is not response.generated_id:
            request_id = text(str(request_id), MOST_CHARACTERS)
        if method not in _KNOWN_METHODS:
            method = text(method, METHOD_CHARACTERS)
        if len(path) > PATH_CHARACTERS or not (path.isascii() and path.isprintable()):
            path = text(_utf8(path), PATH_CHARACTERS)
        route = None if facts is None or facts.route is None else text(str(facts.route), ROUTE_CHARACTERS)
        error = response.error or (None if facts is None else facts.error)
        record: Record = _new(
            Record,
            (record_id, request_id, response.time_ns, duration_ns, method, path, route, status, outcome, error,
             variables, attributes, *self._resource),
        )  # fmt: skip
        return record if self._selection.before_record is None else self._judged(record)

    def _selected(self, method: str, variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The variables that are kept, fit for every chest, and the attributes that say what was done to them."""
        if not self._selection.tracks_all:
            variables = self._selection.tracked(method, variables)
        variables, notes = self._clean(variables)
        return variables, {} if notes is None else notes

    def _tell(self, response: Response, facts: Facts | None, attributes: dict[str, Any]) -> None:
        """What most requests do not have: a stream's first byte, an exception's message, a trace, an adapter's facts."""
        if facts is not None and facts.attributes:
            told, notes = self._clean(dict(facts.attributes))
            attributes.update(told)
            if notes is not None:
                for name, note in notes.items():
                    attributes.setdefault(name, note)
        if isinstance(response, StreamedResponse) and response.first_byte_ns:
            attributes[TIME_TO_FIRST_BYTE] = response.first_byte_ns - response.begin_ns
        if response.message:
            attributes["exception.message"] = text(self._selection.redaction.clean_url(response.message), 1024)
        if response.trace_id is not None:
            attributes["trace_id"] = response.trace_id

    def _judged(self, record: Record) -> Record | None:
        """The user's last word: False, and only False, drops the record."""
        try:
            if self._selection.before_record(record) is False:  # type: ignore[misc]
                return None
        except Exception as error:  # noqa: BLE001 - the user's code must not fail the request, nor lose its record
            self._counters.add("before_record_failed")
            self._counters.error(f"before_record raised {error!r}")
        return record


def _status_code(status: str | None) -> int | None:
    if status is None:
        return None
    try:
        return _KNOWN_STATUSES.get(status[:3])
    except TypeError:
        return None


def _utf8(path: str) -> str:
    """PEP 3333 hands the path over as Latin-1 whatever it was; on the wire it was most likely UTF-8."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path
