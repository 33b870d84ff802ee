"""What Flask-Limiter decided about a request goes into its record."""

from __future__ import annotations

from flask import Flask, Response

from chest import current
from shop.extensions import limiter


def init_app(app: Flask) -> None:
    """Look at the limit after each request; one that was refused has ``limit_remaining`` 0 and the error ``RateLimitExceeded``."""

    @app.after_request
    def record_limit(response: Response) -> Response:
        limit = limiter.current_limit
        if limit is not None:
            current()["limit_key"], current()["limit_remaining"] = limit.key, limit.remaining
        return response
