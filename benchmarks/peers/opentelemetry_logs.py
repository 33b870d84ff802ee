"""OpenTelemetry: a log record a request through its handler, a batch to OTLP over HTTP."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from benchmarks.rig.application import VARIABLES, app


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five variables as ``extra``."""
    provider = LoggerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{sink}/v1/logs")))
    logger = logging.Logger("requests", logging.INFO)
    with warnings.catch_warnings(action="ignore"):  # that the handler will move to another package
        logger.addHandler(LoggingHandler(logger_provider=provider))

    def logged(environ: dict[str, Any], start_response: Any) -> Any:
        body = app(environ, start_response)
        logger.info("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], extra=VARIABLES)
        return body

    return logged, provider.force_flush
