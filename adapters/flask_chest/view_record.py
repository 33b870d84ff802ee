"""``ViewRecord``: a view's own record, as far as Flask says what came of the view."""

from __future__ import annotations

from typing import Any, Final

from flask import Request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from chest.adapter import RequestPart
from flask_chest.served_request import is_answer

_OK: Final = "200"
_SERVER_ERROR: Final = "500"


class ViewRecord(RequestPart):
    """One call of a view, from before it until its end.

    :param request: the request being served; nothing of it is kept.
    """

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        rule = request.url_rule
        super().__init__(request.environ, None if rule is None else rule.rule)

    def view_returned(self, value: Any) -> None:
        """The view returned this: its status, as far as a view says it."""
        self.status = _OK if type(value) is str else status_of(value)

    def view_raised(self, error: BaseException) -> None:
        """The view raised. An abort is an answer, of which Werkzeug's own classes say no more than the status does."""
        if not isinstance(error, HTTPException):
            self.status = _SERVER_ERROR
            self.raised(error)
            return
        self.status = str(error.code if error.response is None else error.response.status_code)
        if not is_answer(error):
            self.raised(error, is_answer=True)


def status_of(value: Any) -> str | None:
    """The status of what a view returned, as a code or a status line (Flask, "About Responses"); None of None."""
    if isinstance(value, tuple) and value:
        if len(value) == 3 or (len(value) == 2 and isinstance(value[1], int | str)):
            return str(value[1])
        value = value[0]
    if isinstance(value, Response):
        return str(value.status_code)
    return None if value is None else _OK
