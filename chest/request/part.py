"""``RequestPart``: a part of a request that leaves a record of its own, such as one call of a view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from chest.record import Outcome
from chest.request.context import Facts, RequestContext
from chest.request.recording import Recording
from chest.request.response import Response
from chest.wsgi import WSGIEnvironment


class RequestPart(Response):
    """A part of a request, from before it until its end; :class:`Recording` makes its record.

    For adapters. Like every response it is made without ``__init__``, which saves a Python call: :meth:`begin` fills it in.
    """

    __slots__ = ("_route",)

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
        self.context = None
        self.status = None
        """What it answers, as a code or a status line; None where it does not say."""
        self.body_bytes = 0
        self.is_rare = False
        self.time_ns = time.time_ns()
        self.begin_ns = time.perf_counter_ns()

    def raised(self, error: BaseException, *, is_answer: bool = False) -> None:
        """It raised.

        :param is_answer: whether the exception is an answer with the status that was said, which then says how it ended.
        """
        self.failed(error, is_answered=True)
        if is_answer:
            self.outcome = Outcome.OK

    def left(self) -> None:
        """Whoever was to have what it streams went away."""
        self.tell_more()
        self.outcome = Outcome.CLIENT_DISCONNECT

    def finish_as(self, recording: Recording, request_id: str, variables: Mapping[str, Any]) -> None:
        """Hand its record, which has an id of its own, to whom ``recording`` offers it.

        :param request_id: the request's, clean already.
        :param variables: what the record holds; copied.
        """
        self.context = context = RequestContext(variables)
        context.request_id = self.generated_id = request_id
        context._facts = None
        if self._route is not None:
            context._facts = facts = Facts()
            facts.route = self._route
        recording.finish(self, self.outcome if self.is_rare else Outcome.OK)
