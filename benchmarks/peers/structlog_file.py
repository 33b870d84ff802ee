"""structlog: one event a request, as JSON by orjson, written to a file within the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import structlog

from benchmarks.rig.application import VARIABLES, app


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five variables bound, as structlog's chapter on performance proposes: cached logger, bytes logger, orjson."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.BytesLoggerFactory(file=(place / "requests.log").open("wb")),
        cache_logger_on_first_use=True,
    )
    logger = structlog.get_logger()

    def logged(environ: dict[str, Any], start_response: Any) -> Any:
        body = app(environ, start_response)
        logger.info("request", method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"], status=200, **VARIABLES)
        return body

    return logged, lambda: None
