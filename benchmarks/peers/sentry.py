"""Sentry: a transaction a request, every one of them kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five tags on the transaction; room for a whole round in its queue, which would drop most of it otherwise."""
    dsn = sink.replace("http://", "http://bench@") + "/1"
    sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, transport_queue_size=2000)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        sentry_sdk.set_tag("user_id", "123")
        sentry_sdk.set_tag("plan", "premium")
        sentry_sdk.set_tag("cart_items", 5)
        sentry_sdk.set_tag("is_beta", True)
        sentry_sdk.set_tag("render_ms", 1.25)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]

    return SentryWsgiMiddleware(app), lambda: sentry_sdk.flush(20)
