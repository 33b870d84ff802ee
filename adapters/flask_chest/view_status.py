"""The status of a view's answer, as far as the view says it."""

from __future__ import annotations

from typing import Any, Final

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

OK: Final = "200"
_SERVER_ERROR: Final = "500"


def status_of(value: Any) -> str | None:
    """The status of what a view returned, as a code or a status line (Flask, "About Responses"); None of None."""
    if isinstance(value, tuple) and value:
        if len(value) == 3 or (len(value) == 2 and isinstance(value[1], int | str)):
            return str(value[1])
        value = value[0]
    if isinstance(value, Response):
        return str(value.status_code)
    return None if value is None else OK


def status_of_error(error: BaseException) -> str:
    """The status of what a view raised: its own where that is an answer; of any other exception, Flask makes a 500."""
    if not isinstance(error, HTTPException):
        return _SERVER_ERROR
    return str(error.code if error.response is None else error.response.status_code)
