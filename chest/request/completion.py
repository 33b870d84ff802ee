"""``RequestCompletion``: completes the record of a request that did not end with a complete body."""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol
from weakref import WeakSet

from chest.record.counters import Counters
from chest.record.record import Outcome
from chest.record.record_id import RecordIds
from chest.record.row import has_body, status_code
from chest.request.context import RequestContext
from chest.request.fields import class_name
from chest.request.request_id import RequestIds
from chest.request.sanitizer.exception_message import message_of
from chest.request.sanitizer.stack_trace import stack_of
from chest.request.sending import (
    exception_under_way,
    handled_here,
    has_client_left,
    has_sent_headers,
    may_be_of_a_websocket,
    outcome_of,
)
from chest.request.served import ServedContext

STATUS_OF_A_FAILURE: Final = "500 Internal Server Error"
NO_BYTES: Final = -1
"""The size of an invalid chunk."""
_code_of_write: Final = ServedContext._write.__code__


class Process(Protocol):
    """What the room of the request needs from the owner of this process's ring."""

    fork_guard: Any
    """``fork_guard[0]`` is 1 while the process is ready for requests; 0 before the first one and after a fork."""
    counters: Counters
    request_ids: RequestIds
    record_ids: RecordIds
    websockets: WeakSet[RequestCompletion]
    """Requests that have become a websocket, or will, while they are open."""

    @property
    def resource(self) -> tuple[str, str, str]:
        """Service, release and host."""

    @property
    def tally(self) -> Any:
        """Counts requests: ``known``, ``place_of`` and ``count``; None: no counting."""

    @property
    def in_flight(self) -> Any:
        """Notes requests that are being served: ``begin`` gives a slot or None, ``end`` takes it; None: the option is off."""

    def prepare(self) -> None:
        """Make this process ready: called before a request's application whenever ``fork_guard[0]`` is 0."""


class CompletionHandler(Protocol):
    """Makes the record of a finished request."""

    def finish(self, completion: RequestCompletion, context: RequestContext) -> None:
        """Called with the end: once, or again if an exception of a signal handler came in between."""


class RequestCompletion:
    """A request whose end is still to come, or that ended in another way than most.

    :param emitter: is told of the end, once.
    :param context: the request's.
    :param tail: of its record's id: told of the end again, the emitter makes the same record and no second one.
    :param request_id: the one it came with.
    :param time_ns: when it began, Unix time.
    :param begin_ns: when it began, by ``time.perf_counter_ns``.
    """

    # On the class, so that a request only pays for what is said.
    outcome: str | None = None
    """None if the status says it."""
    error: str | None = None
    message: str | None = None
    stack: str | None = None
    is_status_inferred = False
    is_request = True
    """True if it is counted among the requests: a part of one is not, and work is none."""
    is_websocket = False
    """True if the request asked for a websocket."""
    body_bytes = 0
    chunk_bytes = 0
    """Of these, what the server has asked for last; :data:`NO_BYTES` of a text or a number."""
    first_byte_ns = 0
    handled = id(None)
    """:func:`handled_here` when the body began."""

    def __init__(
        self,
        emitter: CompletionHandler,
        context: RequestContext,
        tail: str,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        begin_ns: int,
    ) -> None:
        self.emitter = emitter
        self.context: RequestContext | None = context
        self.tail = tail
        self.request_id = request_id
        self.method = method
        self.path = path
        self.time_ns = time_ns
        self.begin_ns = begin_ns
        self.handled = handled_here()

    def finish(self, outcome: str | None) -> None:
        """The request has ended. Told again it does nothing.

        :param outcome: None if the status says it.
        """
        context = self.context
        if context is None:
            return
        self.context = None  # first: what is called at the end may come here again
        if self.outcome is None:
            self.outcome = outcome
        try:
            self.emitter.finish(self, context)
        except BaseException:  # a signal handler's: the finalizer tells it again
            self.context = context
            raise

    def failed(self, error: BaseException, *, is_answered: bool = False) -> None:
        """The application raised: how the request ended, without keeping the exception, which would keep its frames.

        A server that has sent nothing yet answers 500 by itself, whatever status was said, and we never see it. uWSGI sends
        what was said.

        :param is_answered: whether the answer is with the server already, so that it stays.
        """
        if self.error is not None:
            return  # what follows an error is not its cause
        self.outcome = _outcome_of_application(error)
        self.error = class_name(error)
        self.message, self.stack = message_of(error), stack_of(error)
        context = self.context
        if context is None or self.outcome != Outcome.ERROR or is_answered:
            return
        is_written = context._metadata is not None and context._metadata.written_bytes
        if not (self.body_bytes or is_written or ("uwsgi" in sys.modules and context._status is not None)):
            context._status = STATUS_OF_A_FAILURE
            self.is_status_inferred = True

    def closed(self, *, is_complete: bool) -> None:
        """The server closes the body: what it raised meanwhile, if anything, says how the request ended.

        :param is_complete: whether the server took the whole body.
        """
        if self.outcome is not None:
            return  # the application said it
        context, error = self.context, exception_under_way(self.handled)
        if error is None:
            if not is_complete and has_body(self.method, status_code(self._said_status())):
                # Granian refuses a chunk without an exception that could be seen here.
                self.outcome = Outcome.ERROR if self.chunk_bytes == NO_BYTES else Outcome.CLIENT_DISCONNECT
            return
        self.outcome = Outcome.CLIENT_DISCONNECT if has_client_left(error) else outcome_of(error)
        if self.outcome == Outcome.CLIENT_DISCONNECT:
            return
        self.error = class_name(error)
        self.message, self.stack = message_of(error), stack_of(error)
        if not is_complete:  # the last chunk was refused
            self.body_bytes -= max(self.chunk_bytes, 0)
        if (
            context is not None
            and self.outcome == Outcome.ERROR
            and has_sent_headers(context._server_start_response) is False
        ):
            context._status = STATUS_OF_A_FAILURE
            self.is_status_inferred = True

    def judge_websocket(self, context: RequestContext) -> None:
        """The request asked for a websocket: with nothing for the client in the answer, it was one, and that is over."""
        is_written = context._metadata is not None and context._metadata.written_bytes
        if self.outcome not in (None, Outcome.CLIENT_DISCONNECT, Outcome.UPGRADED) or self.body_bytes or is_written:
            return
        if may_be_of_a_websocket(context._status):
            self.outcome = Outcome.UPGRADED
            context._status = None  # none was sent

    def _said_status(self) -> str | None:
        return None if self.context is None else self.context._status


def _outcome_of_application(error: BaseException) -> str:
    """Of what the application raised: the client has left only if it was the server that raised it, in ``write()``."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is _code_of_write:
            return Outcome.CLIENT_DISCONNECT if has_client_left(error) else outcome_of(error)
        trace = trace.tb_next
    return outcome_of(error)
