"""What the compiled part takes from inside CPython, which promises none of it: these fail when it moves."""

from __future__ import annotations

import gc
import mmap
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from chest.native import IS_NATIVE, Segment
from chest.record.record import Record
from chest.request.context import RequestContext
from chest.request.middleware import RequestMiddleware
from chest.ring.in_flight import InFlight
from tests.native.test_hostile_applications import _Slots
from tests.request.middleware.client import Client, hello

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)

NATIVE = Path(__file__).parents[2] / "chest/native"
KNOWN = {
    "system/popped.h": {"Py_SET_SIZE"},
    "record/records.h": {"ob_item"},
    "request/layout.h": {"d_member"},
    "request/end.h": {"Py_SET_TYPE"},
    "request/fast_middleware.h": {"tp_basicsize", "tp_dealloc"},
    "record/secrets.h": {"Py_ISALNUM"},
    "record/line.h": {"Py_UNICODE_ISPRINTABLE"},
    "ring/segment.h": {"tp_basicsize"},
    "system/errors.h": {"_PyObject_LookupAttr"},
}
"""By file of C. A new one gets a test here."""
_INSIDE = re.compile(
    r"\b(Py_SET_SIZE|Py_SET_TYPE|ob_item|ob_digit|d_member|ma_\w+|tp_basicsize|(?<=->)tp_dealloc|Py_ISALNUM|Py_UNICODE_ISPRINTABLE|_Py\w+)\b"
)


def test_nothing_else_is_taken_from_inside() -> None:
    found: dict[str, set[str]] = {}
    for path in [*NATIVE.rglob("*.h"), *NATIVE.rglob("*.c")]:
        # A type's own memory is freed by `Py_TYPE(self)->tp_free`, which the documentation says; what frees it is ours.
        names = set(_INSIDE.findall(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)))
        if names:
            found[str(path.relative_to(NATIVE))] = names
    assert found == KNOWN


def test_a_list_that_the_last_was_taken_from_is_a_list_as_before() -> None:
    """``Py_SET_SIZE`` of a list: slots of requests are taken from one and handed back to it."""
    client = Client(hello)
    in_flight = client.process.in_flight = InFlight(client.process.counters)
    in_flight.open(_Slots())  # type: ignore[arg-type]
    served = RequestMiddleware(hello, [].append, client.app._selection, client.process)
    request = {"PATH_INFO": "/", "REQUEST_METHOD": "GET"}
    served(dict(request), lambda *said: [].append)  # makes the slot
    idle = in_flight.idle
    before, counts = list(idle), [sys.getrefcount(slot) for slot in idle]
    for _ in range(100):
        served(dict(request), lambda *said: [].append)
    assert sorted(map(id, idle)) == sorted(map(id, before))
    assert [sys.getrefcount(slot) for slot in before] == counts
    idle.append(idle.pop())
    gc.collect()
    assert len(idle) == len(before)


def test_a_record_made_in_c_is_a_tuple_as_python_makes_it() -> None:
    """``PyTuple_SET_ITEM`` of a subclass, whose size and place of items changed in 3.14."""
    client = Client(hello)
    client.get("/a")
    record = client.record
    same = Record._make(tuple(record))
    assert type(record) is Record
    assert record == same
    assert hash(tuple(map(str, record))) == hash(tuple(map(str, same)))
    assert sys.getsizeof(record) == sys.getsizeof(same)
    assert gc.is_tracked(record) == gc.is_tracked(same)


def test_what_is_written_to_the_slots_of_a_context_in_c_is_read_in_python() -> None:
    """``d_member->offset``: where a slot's value lies in an object."""
    client = Client(hello)
    seen: list[RequestContext] = []
    client.app.__init__(  # type: ignore[misc]
        lambda environ, start_response: [seen.append(environ["chest.context"])] and hello(environ, start_response),
        [].append, client.app._selection, client.process,
    )  # fmt: skip
    client.get("/", HTTP_X_REQUEST_ID="order-42")
    (context,) = seen
    assert (context._request_id, context._scheme, context._status) == ("order-42", "http", "200 OK")
    assert context._server_start_response is None  # `Py_SET_TYPE`: it is of the class of finished contexts now
    assert type(context).__basicsize__ == RequestContext.__basicsize__
    context["late"] = 1
    assert "late" not in context


def test_a_segment_is_a_mapping_with_fields_of_its_own_behind() -> None:
    """The size of ``mmap.mmap``'s instances."""
    assert Segment.__base__ is mmap.mmap
    assert Segment.__basicsize__ > mmap.mmap.__basicsize__
    with Segment(-1, 8192) as segment:
        segment[:4] = b"abcd"
        assert (len(segment), segment[:4], segment.find(b"cd")) == (8192, b"abcd", 2)
    assert segment.closed


def test_a_character_that_cannot_be_printed_goes_to_python_to_be_cleaned() -> None:
    """``Py_UNICODE_ISPRINTABLE``, with a private symbol behind it, and ``Py_ISALNUM``."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"]["x"] = environ["text"]
        return hello(environ, start_response)

    client = Client(app)
    for text, kept in (("h\u00e9llo", "h\u00e9llo"), ("\ud800", "\ufffd"), ("\u20ac", "\u20ac")):
        client.get("/", text=text, HTTP_X_REQUEST_ID="a-b_c.9")
        assert client.records[-1].variables["x"] == kept
        assert client.records[-1].request_id == "a-b_c.9"
    client.get("/", text="", HTTP_X_REQUEST_ID="a/b")
    assert client.records[-1].request_id != "a/b"
