"""beeline, Honeycomb's own before OpenTelemetry: an event a request, batches over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import beeline
from beeline.middleware.werkzeug import HoneyWSGIMiddleware


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five fields in the request's trace."""
    beeline.init(writekey="bench", dataset="bench", service_name="bench", api_host=sink)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        beeline.add_context_field("user_id", "123")
        beeline.add_context_field("plan", "premium")
        beeline.add_context_field("cart_items", 5)
        beeline.add_context_field("is_beta", True)
        beeline.add_context_field("render_ms", 1.25)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]

    client = beeline.get_beeline().client

    def flush() -> None:
        responses = client.responses()
        while not responses.empty():  # unread, and a full queue of them holds a flush up for ten seconds
            responses.get_nowait()
        client.flush()

    return HoneyWSGIMiddleware(app), flush
