"""``Ending``: what is known of a request, beside its context, that did not end with a complete body."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

from chest.record import Outcome
from chest.request.context import RequestContext, message_of
from chest.request.fields import class_name

STATUS_OF_A_FAILURE: Final = "500 Internal Server Error"
# Asked of the class itself: what an application's own class makes of it may raise.
_exit_code_of: Callable[[SystemExit], Any] = SystemExit.__dict__["code"].__get__


class Finishing(Protocol):
    """Who makes the record."""

    def end(self, ending: Ending, context: RequestContext) -> None:
        """Called with the end: once, or again where an exception of a signal handler's came in between."""


class Ending:
    """A request whose end is still to come, or that ended in another way than most.

    :param recording: is told of the end, once.
    :param context: the request's.
    :param tail: of its record's id: told of the end again, the recording makes the same record and no second one.
    :param request_id: the one it came with.
    :param time_ns: when it began, Unix time.
    :param begin_ns: when it began, by ``time.perf_counter_ns``.
    """

    # On the class, so that a request only pays for what is said.
    outcome: str | None = None
    """None where the status says it."""
    error: str | None = None
    message: str | None = None
    is_status_inferred = False
    body_bytes = 0
    first_byte_ns = 0

    def __init__(
        self,
        recording: Finishing,
        context: RequestContext,
        tail: str,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        begin_ns: int,
    ) -> None:
        self.recording = recording
        self.context: RequestContext | None = context
        self.tail = tail
        self.request_id = request_id
        self.method = method
        self.path = path
        self.time_ns = time_ns
        self.begin_ns = begin_ns

    def finish(self, outcome: str | None) -> None:
        """The request has ended. Told again it does nothing.

        :param outcome: None where the status says it.
        """
        context = self.context
        if context is None:
            return
        self.context = None  # first: what is called at the end may come here again
        if self.outcome is None:
            self.outcome = outcome
        try:
            self.recording.end(self, context)
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
        self.outcome = outcome_of(error)
        self.error = class_name(error)
        self.message = message_of(error)
        context = self.context
        if context is None or self.outcome != Outcome.ERROR or is_answered:
            return
        is_written = context._facts is not None and context._facts.written_bytes
        if not (self.body_bytes or is_written or ("uwsgi" in sys.modules and context._status is not None)):
            context._status = STATUS_OF_A_FAILURE
            self.is_status_inferred = True


def outcome_of(error: BaseException) -> str:
    """How a request ended that ended in this exception.

    Servers end a request from outside with an exception of these kinds: gunicorn's sync worker raises SystemExit(1) in the
    view when it times out and SystemExit(0) on SIGINT and SIGQUIT; gevent kills with GreenletExit.
    """
    if isinstance(error, SystemExit):
        by_worker_timeout = _exit_code_of(error) == 1 and "gunicorn" in sys.modules
        return Outcome.WORKER_TIMEOUT if by_worker_timeout else Outcome.SHUTDOWN
    if isinstance(error, KeyboardInterrupt) or class_name(error) == "GreenletExit":
        return Outcome.SHUTDOWN
    if isinstance(error, GeneratorExit):
        return Outcome.CLIENT_DISCONNECT
    return Outcome.ERROR
