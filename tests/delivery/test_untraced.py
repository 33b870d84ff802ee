"""What delivery does is in no trace of the application and among no breadcrumbs of its requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.slow

_SINK = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from chest import ChestMiddleware, Recorder

class Sink(BaseHTTPRequestHandler):
    taken = 0
    def do_POST(self):
        Sink.taken += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

sink = HTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=sink.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{sink.server_port}/records"
def hello(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
def deliver(*urls, app=hello):
    recorder = Recorder(urls)
    app = ChestMiddleware(app, recorder=recorder)
    for _ in range(3):
        list(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))
        assert recorder.flush(60)
    recorder.close()
"""
_OPENTELEMETRY = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
for kind in HTTPXClientInstrumentor, SQLite3Instrumentor, SQLAlchemyInstrumentor, PymongoInstrumentor:
    kind().instrument()
deliver(url, f"sqlite:///{sys.argv[1]}/chest.sqlite3")
import httpx, sqlite3
own = [span.name for span in exporter.get_finished_spans()]
httpx.post(url, content=b"x")
sqlite3.connect(":memory:").cursor().execute("SELECT 1")
print(json.dumps([Sink.taken, own, len(exporter.get_finished_spans())]))
"""
_SENTRY = """
import sentry_sdk
sent = []
sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, before_send=lambda event, hint: sent.append(event),
    before_send_transaction=lambda event, hint: sent.append(event))
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
deliver(url, f"sqlite:///{sys.argv[1]}/chest.sqlite3", app=SentryWsgiMiddleware(hello))
sentry_sdk.capture_message("end")
print(json.dumps([Sink.taken, [event.get("transaction") for event in sent if event.get("type") == "transaction"],
    [span for event in sent for span in event.get("spans", ())], [each for event in sent for each in event.get("breadcrumbs", {}).get("values", ())]], default=str))
"""


def test_deliveries_are_in_no_trace_and_the_applications_own_calls_are(tmp_path: Path) -> None:
    taken, own, of_the_application = json.loads(run_python(_SINK + _OPENTELEMETRY, tmp_path))
    assert taken >= 4
    assert own == []
    assert of_the_application >= 2, "the instrumentations work"


def test_deliveries_are_no_spans_and_no_breadcrumbs_of_sentrys(tmp_path: Path) -> None:
    taken, transactions, spans, crumbs = json.loads(run_python(_SINK + _SENTRY, tmp_path).splitlines()[-1])
    assert taken >= 3
    assert len(transactions) == 3, "of the requests"
    assert spans == []
    assert crumbs == []
