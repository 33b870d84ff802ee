"""A call to another service carries the id and the trace of the request that makes it."""

from __future__ import annotations

import pytest

from chest import current
from chest.instruments import outgoing_headers
from tests.instruments.conftest import Inside
from tests.processes import run_python

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _headers(inside: Inside, *given: str, **environ: str) -> dict[str, str]:
    found: list[dict[str, str]] = []
    inside(lambda: found.append(outgoing_headers(given)), **environ)
    return found[0]


def test_the_id_and_the_trace_that_came_go_on_unchanged(inside: Inside) -> None:
    assert _headers(inside) == {"X-Request-ID": "r-1"}
    assert _headers(inside, HTTP_TRACEPARENT=TRACE, HTTP_TRACESTATE="a=1") == {
        "X-Request-ID": "r-1", "traceparent": TRACE, "tracestate": "a=1",
    }  # fmt: skip
    assert _headers(inside, HTTP_TRACEPARENT="00-nothing") == {"X-Request-ID": "r-1"}


def test_what_the_call_has_already_stays(inside: Inside) -> None:
    assert _headers(inside, "x-request-id", "Traceparent", HTTP_TRACEPARENT=TRACE) == {}


def test_an_id_that_may_stand_in_no_header_is_left_out(inside: Inside) -> None:
    found: list[dict[str, str]] = []

    def view() -> None:
        current().request_id = "a\r\nb"
        found.append(outgoing_headers())

    inside(view)
    assert found == [{}]


def test_outside_of_a_request_there_is_nothing_to_hand_on() -> None:
    assert outgoing_headers() == {}


@pytest.mark.slow
def test_a_current_span_is_the_parent_of_what_is_called() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from chest.instruments import outgoing_headers
with TracerProvider().get_tracer("app").start_as_current_span("view") as span:
    context = span.get_span_context()
    print(outgoing_headers() == {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"})
"""
    assert run_python(code) == "True\n"
