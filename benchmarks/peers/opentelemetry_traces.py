"""OpenTelemetry: the WSGI instrumentation, a batch of spans to OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five attributes on the request's span."""
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink}/v1/traces")))
    trace.set_tracer_provider(provider)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        span = trace.get_current_span()
        span.set_attribute("user_id", "123")
        span.set_attribute("plan", "premium")
        span.set_attribute("cart_items", 5)
        span.set_attribute("is_beta", True)
        span.set_attribute("render_ms", 1.25)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]

    return OpenTelemetryMiddleware(app), provider.force_flush
