"""``ServedRequest``: a request while Flask serves it: its route, its ``g``, its errors, and whether its response is complete."""

from __future__ import annotations

from flask import Response
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from chest.adapter import is_answer_of, is_whole
from flask_chest.g_variables import GVariables


class ServedRequest(GVariables):
    """What Flask knows of one request: the metadata of its record."""

    response: Response | None = None
    """Flask's response; kept if middleware between Flask and Chest may change its body."""
    is_for_others = False
    """True if there is such middleware."""
    is_error_page = False
    """True for the page of an ``HTTPException``: it is complete, although Flask runs it like an application."""


def answers_whole(response: Response, served: ServedRequest) -> bool:
    """True if the whole body exists, so that the record can be made before its first byte is sent.

    That is so if the response is a sequence that :func:`chest.adapter.is_whole` finds whole.
    """
    try:
        kind = type(response.response)
        if kind is not list and kind is not tuple and not (served.is_error_page and kind is ClosingIterator):
            return False
        return is_whole(response)
    except Exception as trouble:  # noqa: BLE001 - it is recorded at `close()` then
        served.went_wrong(trouble)
        return False


def is_answer(error: BaseException) -> bool:
    """True if an exception is an answer and not an error: see :func:`chest.adapter.is_answer_of`."""
    if not isinstance(error, HTTPException):
        return False
    code = error.code if error.response is None else error.response.status_code
    return is_answer_of("werkzeug", error, code or 0)
