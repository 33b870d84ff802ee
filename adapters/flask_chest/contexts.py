"""Flask's contexts of this thread, without the detour by its proxies: each is two Python calls, of the thirty of a request.

Both functions raise ``LookupError`` or ``RuntimeError`` where there is no such context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import flask.globals
from flask.globals import app_ctx


def _getter(variable: str) -> Callable[[], Any]:
    """What gives the content of a context variable of Flask's; where a Flask has no such variable, its one context."""
    found = getattr(flask.globals, variable, None)
    get: Callable[[], Any] = app_ctx._get_current_object if found is None else found.get  # type: ignore[attr-defined]
    return get


app_context: Final = _getter("_cv_app")
"""The application's context: has ``g`` and ``app``."""
request_context: Final = _getter("_cv_request")
"""The request's: has ``request``."""
