"""Offers in C: what is kept, what is handed to Python, and what must end no process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.native import IS_NATIVE
from chest.record.counters import Counters
from chest.record.encoding import decode
from chest.ring.line import Resource
from chest.ring.reader import RingReader
from chest.ring.segments.file import SegmentFile
from chest.ring.writer import RingWriter
from chest.system.fork_guard import new_fork_guard
from chest.testing.contract import in_child
from tests.native.answering import answer_with
from tests.request.middleware.client import Client
from tests.support import examples

MIB = 1024 * 1024
RESOURCE = Resource("shop", "1.0", "test")

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    ring = RingWriter(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    yield ring
    ring.close()


def lines_in(ring: RingWriter) -> list[bytes]:
    lines, reader = [], RingReader(ring, Counters())
    while chunk := reader.take(MIB):
        lines += chunk.data.splitlines(keepends=True)
        reader.commit_to(chunk.segment, chunk.end)
    return lines


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.integers(1, 70_000), max_size=60))
def test_lines_of_any_length_are_kept_whole_or_counted(lengths: list[int]) -> None:
    counters = Counters()
    ring = RingWriter(counters, bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    lines = [b"%05d" % number + b"x" * length + b"\n" for number, length in enumerate(lengths)]
    kept = [line for line in lines if ring.offer_line(line)]
    assert sorted(lines_in(ring)) == kept
    dropped = counters.get("dropped.ring_full") + counters.get("dropped.too_large")
    assert len(kept) + dropped == len(lines)
    ring.close()


def test_an_offer_before_the_ring_is_ready_is_kept_until_it_is() -> None:
    mark = bytearray(1)
    unready = RingWriter(Counters(), mark)
    assert unready.offer_line(b"early\n")
    unready.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    mark[0] = 1
    assert unready.offer_line(b"late\n")
    assert sorted(lines_in(unready)) == [b"early\n", b"late\n"]
    unready.close()


class HostileRing(RingWriter):
    """Its class says something else of its idle segments than what C is used to."""

    def set_idle(self, idle: Any) -> None:
        self._idle = idle

    def forget_idle(self) -> None:
        del self._idle


@pytest.mark.parametrize("idle", [None, (), [None], [len], [[].append], [b"".join]])
def test_a_list_of_idle_segments_that_holds_something_else_ends_no_process(idle: Any) -> None:
    ring = HostileRing(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    ring.set_idle(idle)
    for line in (b"a\n", "a\n", None, 3):
        try:
            ring.offer_line(line)  # type: ignore[arg-type]
        except (AttributeError, TypeError):
            pass
    ring.forget_idle()
    with pytest.raises(AttributeError):
        ring.offer_line(b"a\n")
    ring.set_idle([])
    ring.close()


def test_a_ring_that_was_never_initialised_offers_nothing_and_ends_no_process() -> None:
    with pytest.raises(AttributeError):
        RingWriter.__new__(RingWriter).offer_line(b"a\n")


def test_a_ring_of_a_class_of_its_own_is_offered_through_that_class() -> None:
    class Counting(RingWriter):
        def offer_line(self, line: bytes) -> bool:
            seen.append(line)
            return super().offer_line(line)

    seen: list[bytes] = []
    ring = Counting(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    Client(answer_with({}), offer=ring.offer_line).get()
    assert seen == lines_in(ring)
    assert len(seen) == 1
    ring.close()


def test_a_request_of_which_the_segment_has_no_room_is_kept_in_the_next(ring: RingWriter) -> None:
    client = Client(answer_with({"text": "x" * 2000}), offer=ring.offer_line)
    for _ in range(100):
        client.get()
    assert sum(state != 0 for state in ring.file.states()) > 2  # type: ignore[union-attr]
    assert [decode(line)[9] for line in lines_in(ring)] == [{"text": "x" * 2000}] * 100


class NotReady:
    def __getitem__(self, index: int) -> int:
        return 0


@pytest.mark.parametrize("mark", [bytearray(1), NotReady(), [0], memoryview(bytes(1))])
def test_while_the_mark_is_not_set_a_line_is_kept_in_memory(mark: Any) -> None:
    ring = RingWriter(Counters(), mark)
    assert ring.offer_line(b"a\n")
    assert ring.has_pre_open_records


def test_in_a_forked_child_no_line_goes_into_a_segment_of_the_parent() -> None:
    guard = new_fork_guard()
    ring = RingWriter(Counters(), guard)
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    guard[0] = 1
    assert ring.offer_line(b"a\n")

    def offer() -> None:
        assert ring.offer_line(b"b\n")
        assert ring.has_pre_open_records

    in_child(offer)
    assert lines_in(ring) == [b"a\n"]  # the other is the child's
    ring.close()


@pytest.mark.parametrize("mark", [bytearray(), None, memoryview(b"")])
def test_a_mark_that_cannot_be_read_is_an_exception_and_no_crash(mark: Any) -> None:
    with pytest.raises((IndexError, TypeError)):
        RingWriter(Counters(), mark).offer_line(b"a\n")
