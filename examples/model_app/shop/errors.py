"""What the shop answers when something is wrong; the record of the request has the class of the exception."""

from __future__ import annotations

from typing import Any

from flask import Flask
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException


class OutOfStock(Exception):
    """The item is sold out."""


class NotAuthorized(Exception):
    """The token is missing, expired or not ours."""


def init_app(app: Flask) -> None:
    """Answer each in JSON."""
    app.register_error_handler(OutOfStock, lambda error: ({"error": f"{error} is sold out"}, 409))
    app.register_error_handler(NotAuthorized, lambda error: ({"error": str(error)}, 401))
    app.register_error_handler(ValidationError, invalid)
    app.register_error_handler(HTTPException, lambda error: ({"error": error.description}, error.code))
    app.register_error_handler(Exception, lambda error: ({"error": "internal server error"}, 500))


def invalid(error: ValidationError) -> tuple[dict[str, Any], int]:
    """What is wrong with a body, without the values that were sent."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return {"errors": [{"field": ".".join(map(str, each["loc"])), "problem": each["msg"]} for each in wrong]}, 422
