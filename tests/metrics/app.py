"""A Flask application that counts by prometheus_client, as style guides do, and is recorded; each has its page."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, request
from flask_chest import FlaskRecorder
from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chest.metrics import metrics_app

COUNT = Counter("flask_request_total", "Requests.", ["method", "endpoint", "status"])
LATENCY = Histogram("flask_request_latency_seconds", "Latency.", ["method", "endpoint"])

app = Flask("metrics")
chest = FlaskRecorder(app, chests=["memory:"], metrics=True)


@app.before_request
def begin() -> None:
    request.environ["begin"] = time.time()


@app.after_request
def count(response: Response) -> Response:
    endpoint = request.endpoint or "unknown"
    COUNT.labels(method=request.method, endpoint=endpoint, status=response.status_code).inc()
    LATENCY.labels(method=request.method, endpoint=endpoint).observe(time.time() - request.environ["begin"])
    return response


@app.get("/work")
def work() -> str:
    return "x"


@app.get("/stream")
def stream() -> Response:
    def body() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("during the stream")

    return Response(body())


registry = CollectorRegistry()
MultiProcessCollector(registry)
recorder = app.extensions["chest"].recorder
pages = {
    "/metrics": metrics_app(recorder, names="flask"),
    "/otel": metrics_app(recorder),
    "/prometheus": make_wsgi_app(registry),
}
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, pages)
