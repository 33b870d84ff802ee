"""``ServedRequest``: a request while Flask serves it: its route, its ``g``, its errors, and whether its response is complete."""

from __future__ import annotations

from typing import Final

from flask import Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import ClosingIterator

from chest.adapter import ROUTE_CHARACTERS, text
from flask_chest.g_variables import GVariables

ENDPOINT: Final = "flask.endpoint"
BLUEPRINT: Final = "flask.blueprint"
_NAME_CHARACTERS: Final = 512
_FIRST_SERVER_ERROR: Final = 500


class ServedRequest(GVariables):
    """What Flask says of one request: the facts of its record."""

    response: Response | None = None
    """What Flask answers, for whoever watches it on its way to the middleware."""
    is_for_others = False
    """Whether somebody does: there is middleware in between, which may make another body of it."""
    is_error_page = False
    """Whether it is the page of an ``HTTPException``, which is complete although Flask runs it like an application."""


WHOLE_KINDS: Final[set[type]] = set()
"""The classes of responses seen that hand their bodies out as Werkzeug's own does: an application has few."""


def answers_whole(response: Response, served: ServedRequest) -> bool:
    """Whether the body exists as a whole, so that the record can be made before its first byte is sent.

    It does when the response is a sequence, its class hands it out as Werkzeug's own does, and no callback waits for its
    end (``Response.call_on_close``: there is no public way to ask, so its list is looked at).
    """
    try:
        if response._on_close:
            return False
        kind = type(response.response)
        if kind is not list and kind is not tuple and not (served.is_error_page and kind is ClosingIterator):
            return False
        if type(response) not in WHOLE_KINDS and _hands_out_as_werkzeug(type(response)):
            WHOLE_KINDS.add(type(response))
        return type(response) in WHOLE_KINDS
    except Exception as trouble:  # noqa: BLE001 - it is recorded at `close()` then
        served.went_wrong(trouble)
        return False


def _hands_out_as_werkzeug(kind: type[Response]) -> bool:
    """Whether nothing that makes the body of a response is of the application's own in this class."""
    names = ("__call__", "get_wsgi_response", "get_app_iter", "iter_encoded", "close")
    return all(getattr(kind, name) is getattr(WerkzeugResponse, name) for name in names)


def known_of(rule: Rule) -> tuple[str, dict[str, str]]:
    """What is recorded of every request that a rule leads to, clean: the route, and the names of endpoint and blueprint."""
    blueprint, _, _ = rule.endpoint.rpartition(".")
    names = {ENDPOINT: rule.endpoint, BLUEPRINT: blueprint} if blueprint else {ENDPOINT: rule.endpoint}
    return text(rule.rule, ROUTE_CHARACTERS), {name: text(value, _NAME_CHARACTERS) for name, value in names.items()}


def is_answer(error: BaseException) -> bool:
    """Whether an exception is the answer, and no error: what ``abort(404)`` or a redirect raises.

    It says no more than the status does. Those of 500 and above are errors, and an ``HTTPException`` of the application's own
    says something.
    """
    if not isinstance(error, HTTPException) or type(error).__module__.partition(".")[0] != "werkzeug":
        return False
    code = error.code if error.response is None else error.response.status_code
    return (code or 0) < _FIRST_SERVER_ERROR
