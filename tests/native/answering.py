"""An application that records what each request tells it to record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def answer_with(*variables: dict[Any, Any]) -> Callable[..., Any]:
    """One request after another leaves these."""
    turns = iter(variables * 1000)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"].update(next(turns))
        start_response("200 OK", [])
        return [b"a"]

    return app
