"""OpenTelemetry: the Flask instrumentation, a batch of spans to OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.peers.flask_shop import bare

__all__ = ["bare", "contender"]


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five attributes on the request's span."""
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink}/v1/traces")))
    trace.set_tracer_provider(provider)
    app = Flask("benchmarks.shop")

    @app.get("/")
    def index() -> str:
        span = trace.get_current_span()
        span.set_attribute("user_id", "123")
        span.set_attribute("plan", "premium")
        span.set_attribute("cart_items", 5)
        span.set_attribute("is_beta", True)
        span.set_attribute("render_ms", 1.25)
        return "hello"

    FlaskInstrumentor().instrument_app(app)
    return app, provider.force_flush
