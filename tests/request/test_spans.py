"""Trace and span of a request, as OpenTelemetry has them; each program a process, as what it loads and instruments is the process's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.slow

_TRACED = """
import json, sys
from chest import ChestMiddleware, MemoryChest, Recorder
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
chest = MemoryChest()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

def call(app, **environ):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
        "wsgi.input": sys.stdin.buffer, "wsgi.version": (1, 0), "wsgi.errors": sys.stderr, **environ}
    body = app(environ, lambda *_: None)
    try:
        list(body)
    finally:
        getattr(body, "close", lambda: None)()

def told(recorder, *calls):
    recorder.flush(60)
    spans = [(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    names = "trace_id", "span_id", "parent_span_id"
    records = [[record.attributes.get(name) for name in names] for record in chest.records]
    print(json.dumps([spans, records]))
    recorder.close()
"""
_REQUESTS = """
for environ in ({}, {"HTTP_TRACEPARENT": TRACE}):
    call(app, **environ)
told(recorder)
"""
_OUTSIDE = """
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
def hello(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
recorder = Recorder([chest])
app = OpenTelemetryMiddleware(ChestMiddleware(hello, recorder=recorder))
"""
_FLASK = """
from flask import Flask
from flask_chest import FlaskRecorder
from opentelemetry.instrumentation.flask import FlaskInstrumentor
flask = Flask("shop")
flask.get("/")(lambda: "x")
FlaskInstrumentor().instrument_app(flask)
FlaskRecorder(flask, chests=[chest])
recorder, app = flask.extensions["chest"].recorder, flask
"""
_DJANGO = """
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=["django_chest.DjangoRecorder"])
django.setup()
urlpatterns = [path("", lambda request: HttpResponse("x"))]
from opentelemetry.instrumentation.django import DjangoInstrumentor
DjangoInstrumentor().instrument()
from django.core.wsgi import get_wsgi_application
recorder = Recorder([chest])
app = ChestMiddleware(get_wsgi_application(), recorder=recorder)
"""


def _run(code: str) -> tuple[list[list[str]], list[list[Any]]]:
    spans, records = json.loads(run_python(_TRACED + code).splitlines()[-1])
    return spans, records


@pytest.mark.parametrize("app", [_OUTSIDE, _FLASK, _DJANGO], ids=["outside", "flask", "django"])
def test_the_current_span_is_the_records_and_its_parent_is_the_callers(app: str) -> None:
    spans, records = _run(app + _REQUESTS)
    assert len(spans) == 2
    assert records == [[*spans[0], None], [*spans[1], "b7ad6b7169203331"]]
    assert spans[1][0] == "0af7651916cd43dd8448eb211c80319c"


def test_without_a_current_span_the_header_alone_is_told() -> None:
    code = _OUTSIDE.replace("app = OpenTelemetryMiddleware", "app = ")
    spans, records = _run(code + _REQUESTS)
    assert spans == []
    assert records == [[None] * 3, ["0af7651916cd43dd8448eb211c80319c", None, "b7ad6b7169203331"]]


def test_a_span_that_came_from_the_caller_is_the_parent_and_not_the_requests_own() -> None:
    code = """
from opentelemetry.trace import NonRecordingSpan, SpanContext
caller = SpanContext(1, 2, is_remote=True)
def hello(environ, start_response):
    with trace.use_span(NonRecordingSpan(caller)):
        start_response("200 OK", [])
    return [b"x"]
recorder = Recorder([chest])
app = ChestMiddleware(hello, recorder=recorder)
"""
    _, records = _run(code + _REQUESTS)
    assert records[0] == [f"{1:032x}", None, f"{2:016x}"]
    assert records[1] == ["0af7651916cd43dd8448eb211c80319c", None, "b7ad6b7169203331"]


def test_an_exception_before_the_response_keeps_the_span() -> None:
    code = (
        _OUTSIDE.replace('    start_response("200 OK", [])', "    raise LookupError")
        + """
for _ in range(2):
    try:
        call(app)
    except LookupError:
        pass
told(recorder)
"""
    )
    spans, records = _run(code)
    assert records == [[*span, None] for span in spans]


def test_opentelemetry_is_not_loaded_by_chest() -> None:
    code = """
import sys
from chest import ChestMiddleware, MemoryChest
def hello(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
app = ChestMiddleware(hello, chests=[MemoryChest()])
list(app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))
app.recorder.close()
print([name for name in sys.modules if name.startswith(("opentelemetry", "sentry"))])
"""
    assert run_python(code) == "[]\n"
