"""``RequestPart``: a part of a request that leaves a record of its own, such as one call of a view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from chest.record import Outcome
from chest.request.context import Facts, RequestContext
from chest.request.ending import Ending
from chest.request.recording import Recording
from chest.row import CHECK
from chest.wsgi import WSGIEnvironment


class RequestPart(Ending):
    """A part of a request, from before it until its end; :class:`Recording` makes its record.

    For adapters. It is made without arguments, and :meth:`begin` fills it in.
    """

    __slots__ = ("_route", "status")

    status: str | None
    """What it answers, as a code or a status line; None where it does not say."""

    def __init__(self) -> None:
        """Nothing yet."""

    def begin(self, environ: WSGIEnvironment, route: str | None = None) -> None:
        """It begins now.

        :param environ: the request's; nothing of it is kept.
        :param route: the template of the request's route, where it has one.
        """
        self.method = environ.get("REQUEST_METHOD", "")
        self.path = environ.get("PATH_INFO", "")
        if environ.get("SCRIPT_NAME"):
            self.path = environ["SCRIPT_NAME"] + self.path
        self._route = route
        self.context = self.status = self.outcome = self.error = self.message = None
        self.time_ns = time.time_ns()
        self.begin_ns = time.perf_counter_ns()

    def raised(self, error: BaseException, *, is_answer: bool = False) -> None:
        """It raised.

        :param is_answer: whether the exception is an answer with the status that was said, which then says how it ended.
        """
        self.failed(error, is_answered=True)
        if is_answer:
            self.outcome = None

    def left(self) -> None:
        """Whoever was to have what it streams went away."""
        self.outcome = Outcome.CLIENT_DISCONNECT

    def finish_as(self, recording: Recording, request_id: str, variables: Mapping[str, Any]) -> None:
        """Hand its record, which has an id of its own, to whom ``recording`` offers it.

        :param request_id: the request's, clean already.
        :param variables: what the record holds; copied.
        """
        context = RequestContext(variables)
        context._request_id = request_id
        context._status = self.status
        context._facts = context._in_flight = None
        if self._route is not None:
            context._facts = facts = Facts()
            facts.route = self._route
        duration_ns = time.perf_counter_ns() - self.begin_ns
        known = (
            recording.new_tail(),
            request_id,
            self.time_ns,
            self.time_ns % CHECK,
            duration_ns,
            self.method,
            self.path,
        )
        if self.outcome is None and self.error is None:
            recording.finish(known, context, 0)
            return
        self.first_byte_ns = 0
        self.is_status_inferred = False
        recording.finish(known, context, 0, self)
