"""``RecordEmitter``: an adapter's requests leave the same records, whichever way they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chest.record.record import Record
from chest.request.closed_contexts import FinishedContext
from chest.request.completion import RequestCompletion
from chest.request.context import RequestContext
from chest.request.metadata import RequestMetadata
from chest.request.record_emitter import RecordEmitter
from chest.request.selection import Selection
from chest.ring.line import decode_lines
from tests.support import ReadyProcess


class AdapterMetadata(RequestMetadata):
    """RequestMetadata with a last word."""

    def __init__(self, last_word: dict[str, Any]) -> None:
        self.route, self.known_attributes = "/items/<int:id>", {"endpoint": "item"}
        self._last_word = last_word

    def at_end(self, context: RequestContext) -> None:
        for name, value in self._last_word.items():
            if name not in context:
                context[name] = value


def record_made_by(
    say: Callable[[RequestContext], object],
    last_word: dict[str, Any],
    path: str = "/items/3",
    *,
    is_looked_at: bool = False,
) -> tuple[Record | None, RequestContext]:
    lines: list[bytes] = []
    process = ReadyProcess()
    emitter = RecordEmitter(lines.append, Selection(), process)
    context = RequestContext({"user_id": "123"})
    context._request_id, context._status, context._scheme = "r-1", "200 OK", "http"
    context._metadata = context._in_flight = None
    context.attach_metadata(AdapterMetadata(last_word))
    say(context)
    if is_looked_at:
        assert context._metadata is not None
        context._metadata.has_more = True
    emitter.finish(RequestCompletion(emitter, context, emitter.new_tail(), "r-1", "GET", path, 1_000, 0), context)
    records = decode_lines(b"".join(lines), process.resource)
    assert len(records) <= 1
    return (records[0] if records else None), context


@pytest.mark.parametrize(
    ("say", "last_word", "path"),
    [
        (lambda context: None, {}, "/items/3"),
        (lambda context: None, {"rows": 2, "user_id": "another"}, "/items/3"),
        (lambda context: None, {"odd": object(), "long": "ü" * 5000}, "/items/3"),
        (lambda context: None, {"surrogate": "\ud800"}, "/items/3"),
        (lambda context: None, {"password": "hunter2"}, "/items/3"),
        (lambda context: None, {}, "http://ada:hunter2@host/items"),
        (lambda context: None, {}, "/reset?token=x"),
        (lambda context: None, {}, "/items/v1:3"),
        (lambda context: context.record_error(LookupError("no")), {"rows": 2}, "/items/3"),
        (lambda context: setattr(context, "route", "/o\nther\0"), {}, "/items/3"),
        (lambda context: setattr(context, "request_id", "r-2"), {}, "/items/3"),
        (lambda context: context.attributes.update(card=1, token="x"), {}, "/items/3"),
        (lambda context: context.exclude(), {"rows": 2}, "/items/3"),
    ],
)
def test_the_record_is_the_one_that_is_made_of_metadata_that_are_looked_at(
    say: Callable[[RequestContext], object], last_word: dict[str, Any], path: str
) -> None:
    mine, context = record_made_by(say, last_word, path)
    plain, _ = record_made_by(say, last_word, path, is_looked_at=True)
    assert isinstance(context, FinishedContext)
    if plain is None:
        assert mine is None
    else:
        assert mine is not None
        assert mine == plain._replace(id=mine.id, duration_ns=mine.duration_ns)


def test_names_that_were_seen_take_the_short_way_and_leave_the_same_record() -> None:
    lines: list[bytes] = []
    process = ReadyProcess()
    emitter = RecordEmitter(lines.append, Selection(), process)
    for _ in range(3):
        context = RequestContext({"user_id": "123"})
        context._request_id, context._status, context._scheme = "r-1", "200 OK", "http"
        context._metadata = context._in_flight = None
        context.attach_metadata(AdapterMetadata({"rows": 2}))
        emitter.finish(
            RequestCompletion(emitter, context, emitter.new_tail(), "r-1", "GET", "/items/3", 1_000, 0), context
        )
    first, *others = decode_lines(b"".join(lines), process.resource)
    assert first.variables == {"user_id": "123", "rows": 2}
    assert (first.route, first.attributes) == ("/items/<int:id>", {"endpoint": "item", "url.scheme": "http"})
    assert [each._replace(id=first.id, duration_ns=first.duration_ns) for each in others] == [first, first]


def test_an_adapter_whose_last_word_raises_costs_the_record_and_no_request() -> None:
    class Broken(AdapterMetadata):
        def at_end(self, context: RequestContext) -> None:
            raise LookupError

    process = ReadyProcess()
    emitter = RecordEmitter(lambda line: pytest.fail("nothing can be made of it"), Selection(), process)
    context = RequestContext()
    context._request_id, context._status, context._scheme = "r-1", "200 OK", "http"
    context._metadata = context._in_flight = None
    context.attach_metadata(Broken({}))
    emitter.finish(RequestCompletion(emitter, context, emitter.new_tail(), "r-1", "GET", "/", 1_000, 0), context)
    assert process.counters.get("dropped.internal_error") == 1
