"""Which requests ``sample`` keeps: the id of the record decides, whatever serves the request."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chest.request.middleware import RequestMiddleware
from chest.request.selection import Selection
from chest.ring.in_flight import InFlight, killed_requests
from chest.ring.line import decode_lines
from chest.ring.segments.file import SegmentFile
from tests.support import ReadyProcess


def whole(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"a"]


def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"a"


@pytest.fixture
def process() -> Iterator[ReadyProcess]:
    process = ReadyProcess()
    file = process.file = SegmentFile.in_memory(1 << 20, {})
    process.in_flight = InFlight(process.counters)
    process.in_flight.open(file)
    yield process
    process.in_flight.close()
    file.close()


@pytest.mark.parametrize("answer", [whole, streamed])
@pytest.mark.parametrize("sample", [0.5, 0.1])
def test_the_id_of_its_record_decides_whether_a_request_is_kept(
    sample: float, answer: Callable[..., Any], process: Any
) -> None:
    ids, lines = [], []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        # The record that a kill at this moment would leave has the id that the request's own will have.
        [noted] = killed_requests(process.file, process.resource, process.record_ids.process)
        ids.append(noted.id)
        return answer(environ, start_response)

    middleware = RequestMiddleware(app, lines.append, Selection(sample=sample), process)
    for _ in range(300):
        body: Any = middleware({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *said: [].append)
        assert list(body) == [b"a"]
        getattr(body, "close", list)()
    kept = [record.id for record in decode_lines(b"".join(lines), process.resource)]
    assert kept == [each for each in ids if zlib.crc32(each.encode()) < sample * 0x1_0000_0000]
    assert 0 < len(kept) < len(ids)
