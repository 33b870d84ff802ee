"""Flask's contexts of this thread, read without its proxies: a proxy costs two Python calls, of about thirty in a request.

Both functions raise ``LookupError`` or ``RuntimeError`` if there is no context.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import flask.globals
from flask.globals import app_ctx

SERVED_KEY: Final = "chest.flask"
"""Under this key ``environ`` holds the ``GVariables`` of the request, while Flask serves it."""


def _getter(variable: str) -> Callable[[], Any]:
    """A function that returns the value of Flask's context variable; of a Flask without this variable, its one context."""
    found = getattr(flask.globals, variable, None)
    get: Callable[[], Any] = app_ctx._get_current_object if found is None else found.get  # type: ignore[attr-defined]
    return get


app_context: Final = _getter("_cv_app")
"""The application's context: has ``g`` and ``app``."""
request_context: Final = _getter("_cv_request")
"""The request's: has ``request``."""

VARIABLES: Final[tuple[ContextVar[Any], ...]] = tuple(
    found for found in (getattr(flask.globals, name, None) for name in ("_cv_request", "_cv_app")) if found is not None
)
"""The variables that hold these two, of a Flask that has both."""
