"""What do offering a record to the ring and taking it cost, compared with a deque, the queues of Python and a write to a file?

Nanoseconds a record of five variables, in a loop over many, rounds interleaved; with one thread and with four at once. The
deque and the queues hold the record itself and lose it with the process; the ring and the file hold it as a line of JSON,
which outlives the process, and have it encoded and decoded within these figures.
"""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.rig.contenders import sample_record
from benchmarks.rig.measure import Loop, loops, nothing
from benchmarks.rig.report import Report, question_of
from chest.record.counters import Counters
from chest.record.encoding import NEWLINE, encode_line
from chest.record.row import Row, row_of
from chest.ring.line import Resource, decode_lines
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter

RING_FILE: Final = "ring, file"
RING_IN_MEMORY: Final = "ring, in memory"
DEQUE: Final = "collections.deque"
QUEUE: Final = "queue.Queue"
SIMPLE_QUEUE: Final = "queue.SimpleQueue"
FILE: Final = "os.write to a file"
ENCODING: Final = "the line encoded, and kept nowhere"

RECORDS: Final = 2_000
_RING_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 32 * 1024
_RESOURCE: Final = Resource("bench", "", "host")


class _Buffer:
    """Something that records are put into one by one, and taken from all at once."""

    def __init__(self, put: Callable[[Row], object], take_all: Callable[[], object]) -> None:
        self.take_all = take_all

        def put_each(rows: Sequence[Row]) -> None:
            for row in rows:
                put(row)

        self.put_each = put_each


def measure(threads: int = 1, rounds: int = 41, records: int = RECORDS) -> tuple[dict[str, float], dict[str, float]]:
    """Nanoseconds a record: of offering, by so many threads at once, and of taking."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory, contextlib.ExitStack() as stack:
        buffers = _buffers(Path(directory), stack)
        items = [row_of(sample_record(Path(directory) / "sample"))] * records
        offered = loops(
            {name: Loop(buffer.put_each, buffer.take_all) for name, buffer in buffers.items()},
            items,
            threads=threads,
            rounds=rounds,
        )
        taken = _taken(buffers, items, rounds)
    return offered, taken


def _taken(buffers: dict[str, _Buffer], items: Sequence[Row], rounds: int) -> dict[str, float]:
    """Each buffer is filled again after it was emptied; filling is not timed."""
    for buffer in buffers.values():
        buffer.put_each(items)

    def emptying(buffer: _Buffer) -> Loop:
        return Loop(lambda _: buffer.take_all(), lambda: buffer.put_each(items))

    return loops({name: emptying(buffer) for name, buffer in buffers.items()}, items, rounds=rounds)


def _buffers(directory: Path, stack: contextlib.ExitStack) -> dict[str, _Buffer]:
    items: deque[Any] = deque()
    waiting: queue.Queue[Any] = queue.Queue()
    simple: queue.SimpleQueue[Any] = queue.SimpleQueue()
    return {
        RING_FILE: _ring(SegmentFile.create(directory / "a.ring", _RING_BYTES, {}), stack),
        RING_IN_MEMORY: _ring(SegmentFile.in_memory(_RING_BYTES, {}), stack),
        DEQUE: _Buffer(items.append, lambda: _until(IndexError, items.popleft)),
        QUEUE: _Buffer(waiting.put_nowait, lambda: _until(queue.Empty, waiting.get_nowait)),
        SIMPLE_QUEUE: _Buffer(simple.put, lambda: _until(queue.Empty, simple.get_nowait)),
        FILE: _file(directory / "records", stack),
        ENCODING: _Buffer(lambda row: encode_line(row, None, NEWLINE), nothing),
    }


def _ring(file: SegmentFile, stack: contextlib.ExitStack) -> _Buffer:
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(file, _RESOURCE)
    stack.callback(ring.close)
    reader = RingReader(ring, Counters())

    def take_all() -> None:
        while (chunk := reader.take(_CHUNK_BYTES)) is not None:
            decode_lines(chunk.data, _RESOURCE)
            reader.commit_to(chunk.segment, chunk.end)

    def put(row: Row) -> None:
        ring.offer_line(encode_line(row, None, NEWLINE))

    return _Buffer(put, take_all)


def _file(path: Path, stack: contextlib.ExitStack) -> _Buffer:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    stack.callback(os.close, descriptor)

    def put(row: Row) -> None:
        os.write(descriptor, encode_line(row, None, NEWLINE))

    def take_all() -> None:
        for piece in _pieces(descriptor):
            decode_lines(piece, _RESOURCE)
        os.truncate(descriptor, 0)

    return _Buffer(put, take_all)


def _pieces(descriptor: int) -> Iterator[bytes]:
    at = 0
    while data := os.pread(descriptor, _CHUNK_BYTES, at):
        piece = data[: data.rfind(b"\n") + 1]
        at += len(piece)
        yield piece


def _until(error: type[Exception], take: Callable[[], object]) -> None:
    try:
        while True:
            take()
    except error:
        pass


def report() -> Report:
    """Nanoseconds a record."""
    alone, taken = measure()
    together, _ = measure(threads=4)
    return Report(
        question_of(__doc__),
        ("nanoseconds a record", "offer", "offer, 4 threads", "take"),
        [(name, alone[name], together[name], None if name == ENCODING else taken[name]) for name in alone],
    )


if __name__ == "__main__":
    print(report())
