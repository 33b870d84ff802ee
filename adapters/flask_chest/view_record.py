"""A view's own record: what a decorator knows of the request that its view served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from flask import Request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from chest import Outcome, Record, RequestContext
from chest.request.context import Facts
from chest.request.recording import Process, Recording
from chest.request.response import Response
from chest.request.selection import Selection

_OK: Final = "200"
_SERVER_ERROR: Final = "500"


class ViewRecord(Response):
    """One call of a view, from before it until its end: what :class:`Recording` makes a record of.

    :param request: the request being served; nothing of it is kept.
    """

    __slots__ = ("_raised", "_route")

    def __init__(self, request: Request) -> None:
        environ = request.environ
        self.method = environ.get("REQUEST_METHOD", "")
        self.path = environ.get("PATH_INFO", "")
        if environ.get("SCRIPT_NAME"):
            self.path = environ["SCRIPT_NAME"] + self.path
        rule = request.url_rule
        self._route: str | None = None if rule is None else rule.rule
        self._raised: BaseException | None = None
        self.context = None
        self.status = None
        self.body_bytes = 0
        self.is_rare = False
        self.time_ns = time.time_ns()
        self.begin_ns = time.perf_counter_ns()

    def returned(self, value: Any) -> None:
        """The view returned this: its status, as far as a view says it."""
        self.status = _OK if type(value) is str else status_of(value)

    def raised(self, error: BaseException) -> None:
        """The view raised. An abort is an answer, of which Werkzeug's own classes say no more than the status does."""
        self.status = _SERVER_ERROR
        if isinstance(error, HTTPException):
            status = error.code if error.response is None else error.response.status_code
            self.status = str(status)
            if status is not None and status < 500 and type(error).__module__.partition(".")[0] == "werkzeug":
                return
        self._raised = error

    def broken(self, error: BaseException) -> None:
        """The stream that the view returned raised; its status was sent before."""
        self._raised = error

    def left(self) -> None:
        """Nobody read the stream that the view returned to its end."""
        self.tell_more()
        self.outcome = Outcome.CLIENT_DISCONNECT

    def finish_as(self, recording: Recording, request_id: str, variables: Mapping[str, Any]) -> None:
        """Hand the record to whom ``recording`` offers it, with an id of its own.

        :param request_id: clean already.
        """
        self.context = context = RequestContext(variables)
        context.request_id = self.generated_id = request_id
        context._facts = None
        if self._route is not None:
            context._facts = facts = Facts()
            facts.route = self._route
        error, self._raised = self._raised, None
        if error is not None:
            self.failed(error, is_answered=True)
            if isinstance(error, HTTPException):
                self.outcome = Outcome.OK
        recording.finish(self, self.outcome if self.is_rare else Outcome.OK)


def record_now(
    view: ViewRecord, process: Process, selection: Selection, request_id: str, variables: Mapping[str, Any]
) -> Record | None:
    """The record, made and not offered to anyone; None where it could not be made, which is counted."""
    made: list[Record] = []
    view.finish_as(Recording(made.append, selection, process), request_id, variables)
    return made[0] if made else None


def status_of(value: Any) -> str | None:
    """The status of what a view returned, as a code or a status line (Flask, "About Responses"); None of None."""
    if isinstance(value, tuple) and value:
        if len(value) == 3 or (len(value) == 2 and isinstance(value[1], int | str)):
            return str(value[1])
        value = value[0]
    if isinstance(value, WerkzeugResponse):
        return str(value.status_code)
    return None if value is None else _OK
