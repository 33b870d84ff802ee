"""The application that is measured, bare and inside each contender; it needs no package at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

App = Callable[..., Any]

VARIABLES: dict[str, Any] = {
    "user_id": "123",
    "plan": "premium",
    "cart_items": 5,
    "is_beta": True,
    "render_ms": 1.25,
}


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers at once; sets five variables where Chest is there to record them."""
    context = environ.get("chest.context")
    if context is not None:
        context["user_id"] = "123"
        context["plan"] = "premium"
        context["cart_items"] = 5
        context["is_beta"] = True
        context["render_ms"] = 1.25
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def streamed_app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """The same as a generator."""
    yield from app(environ, start_response)
