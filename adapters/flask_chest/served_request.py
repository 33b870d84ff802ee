"""``ServedRequest``: a request while Flask serves it: its route, its ``g``, its errors, and whether its response is complete."""

from __future__ import annotations

from typing import Final

from flask import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from chest.text import text
from flask_chest.g_variables import GVariables

ENDPOINT: Final = "flask.endpoint"
BLUEPRINT: Final = "flask.blueprint"
_NAME_CHARACTERS: Final = 512
_FIRST_SERVER_ERROR: Final = 500


class ServedRequest(GVariables):
    """What Flask says of one request: the facts of its record."""

    response: Response | None = None
    """What Flask answers, once nothing of the application's will make another one of it."""
    is_error_page = False
    """Whether it is the page of an ``HTTPException``, which is complete although Flask runs it like an application."""

    def begin(self, request: Request, attributes_of: dict[str, dict[str, str]]) -> None:
        """Flask begins with the request: it has found a route or none, and its contexts are pushed.

        :param attributes_of: what is recorded of each endpoint, as far as it was asked for.
        """
        rule = request.url_rule
        if rule is not None:
            self.route = rule.rule
            attributes = attributes_of.get(rule.endpoint)
            if attributes is None:
                attributes = attributes_of[rule.endpoint] = attributes_of_endpoint(rule.endpoint)
            self.known_attributes = attributes
        self.claim()

    def returned(self, body: object) -> None:
        """Flask has returned this body: where it exists as a whole, the record is made before its first byte is sent.

        It does when the response is a sequence, nothing between Flask and the middleware made another body of it, and no
        callback waits for its end (``Response.call_on_close``: there is no public way to ask, so its list is looked at).
        """
        response, self.response = self.response, None
        try:
            if (
                type(body) is ClosingIterator
                and response is not None
                and (response.is_sequence or (self.is_error_page and type(response.response) is ClosingIterator))
                and not getattr(response, "_on_close", None)
            ):
                self.is_complete = True
        except Exception as trouble:  # noqa: BLE001 - it is recorded at `close()` then
            self.went_wrong(trouble)


def attributes_of_endpoint(endpoint: str) -> dict[str, str]:
    """What is recorded of an endpoint: its name, and that of its blueprint."""
    blueprint, _, _ = endpoint.rpartition(".")
    names = {ENDPOINT: endpoint, BLUEPRINT: blueprint} if blueprint else {ENDPOINT: endpoint}
    return {name: text(value, _NAME_CHARACTERS) for name, value in names.items()}


def is_answer(error: BaseException) -> bool:
    """Whether an exception is the answer, and no error: what ``abort(404)`` or a redirect raises.

    It says no more than the status does. Those of 500 and above are errors, and an ``HTTPException`` of the application's own
    says something.
    """
    is_below = isinstance(error, HTTPException) and (error.code or 0) < _FIRST_SERVER_ERROR
    return is_below and type(error).__module__.partition(".")[0] == "werkzeug"
