"""The parts of which the compiled one is made, each beside what it stands in for."""

from __future__ import annotations

import json
import mmap
import operator
import os
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.counters import Counters
from chest.encoding import decode, encode
from chest.record import Record
from chest.record_id import RecordIds, is_tail
from chest.ring.in_flight import InFlight, Slot, killed_requests
from chest.ring.line import Resource
from chest.ring.ring import Ring
from chest.ring.segments import SegmentFile
from chest.row import record_of, records_of
from chest.speedups import IS_NATIVE, Segment
from tests.request.test_middleware import Client
from tests.support import make_record

MIB = 1024 * 1024
RESOURCE = Resource("shop", "1.0", "test")

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def outcome_of(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


# -- a segment and a mapping ---------------------------------------------------------------------------------------------

operations = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=3000)),
    st.tuples(st.just("write"), st.sampled_from([bytearray(b"abc"), memoryview(b"abc"), "abc", None, 3])),
    st.tuples(st.just("seek"), st.one_of(st.integers(-10, 5000), st.sampled_from([2**70, "0", None]))),
    st.tuples(st.just("tell")),
    st.tuples(st.just("find"), st.binary(min_size=1, max_size=2), st.integers(0, 4096), st.integers(0, 4096)),
    st.tuples(st.just("close")),
)


@settings(deadline=None)
@given(st.lists(operations, max_size=20))
def test_a_segment_does_as_a_mapping_of_the_standard_library(said: list[tuple[Any, ...]]) -> None:
    sides = mmap.mmap(-1, 4096), Segment(-1, 4096)
    for name, *arguments in said:
        found = [outcome_of(getattr(side, name), *arguments) for side in sides]
        if name == "seek" and isinstance(found[0], int):
            found[0] = None  # from Python 3.13 on it says where it went
        assert found[0] == found[1], name
        contents = [outcome_of(operator.getitem, side, slice(None)) for side in sides]
        assert contents[0] == contents[1]


def test_a_write_to_a_closed_segment_is_refused_and_keeps_no_line() -> None:
    segment = Segment(-1, 4096)
    segment.close()
    with pytest.raises(ValueError, match="closed"):
        segment.write(b"a")


# -- offers --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring(Counters(), bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    yield ring
    ring.close()


def lines_in(ring: Ring) -> list[bytes]:
    lines = []
    while chunk := ring.take(MIB):
        lines += chunk.data.splitlines(keepends=True)
        ring.commit(chunk)
    return lines


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 70_000), max_size=60))
def test_lines_of_any_length_are_kept_in_order_or_counted(lengths: list[int]) -> None:
    counters = Counters()
    ring = Ring(counters, bytearray(b"\1"))
    ring.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    lines = [b"%05d" % number + b"x" * length + b"\n" for number, length in enumerate(lengths)]
    kept = [line for line in lines if ring.offer_line(line)]
    assert sorted(lines_in(ring)) == kept
    dropped = counters.get("dropped.ring_full") + counters.get("dropped.too_large")
    assert len(kept) + dropped == len(lines)
    ring.close()


def test_an_offer_where_nothing_is_ready_is_kept_until_it_is() -> None:
    mark = bytearray(1)
    unready = Ring(Counters(), mark)
    assert unready.offer_line(b"early\n")
    unready.open(SegmentFile.in_memory(MIB, {}), RESOURCE)
    mark[0] = 1
    assert unready.offer_line(b"late\n")
    assert sorted(lines_in(unready)) == [b"early\n", b"late\n"]
    unready.close()


@pytest.mark.parametrize("idle", [None, (), [None], [len], [[].append], [b"".join]])
def test_a_list_of_idle_segments_that_holds_something_else_ends_no_process(ring: Ring, idle: Any) -> None:
    ring._idle = idle
    for line in (b"a\n", "a\n", None, 3):
        try:
            ring.offer_line(line)  # type: ignore[arg-type]
        except (AttributeError, TypeError):
            pass
    ring._idle = []
    del ring._idle
    with pytest.raises(AttributeError):
        ring.offer_line(b"a\n")
    ring._idle = []


def test_a_ring_that_was_never_initialised_offers_nothing_and_ends_no_process() -> None:
    with pytest.raises(AttributeError):
        Ring.__new__(Ring).offer_line(b"a\n")


def test_a_ring_of_a_class_of_its_own_is_offered_through_that_class() -> None:
    class Counting(Ring):
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


def test_a_request_of_which_the_segment_has_no_room_is_kept_in_the_next(ring: Ring) -> None:
    client = Client(answer_with({"text": "x" * 2000}), offer=ring.offer_line)
    for _ in range(100):
        client.get()
    assert sum(state != 0 for state in ring._file.states()) > 2  # type: ignore[union-attr]
    assert [decode(line)[9] for line in lines_in(ring)] == [{"text": "x" * 2000}] * 100


# -- lines ---------------------------------------------------------------------------------------------------------------


def answer_with(*variables: dict[Any, Any]) -> Callable[..., Any]:
    """One request after another leaves these."""
    turns = iter(variables * 1000)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"].update(next(turns))
        start_response("200 OK", [])
        return [b"a"]

    return app


numbers = st.one_of(
    st.floats(),
    st.integers(-(10**15), 10**15).map(lambda thousandths: thousandths / 1000),
    st.integers(-(10**12), 10**12).map(lambda millionths: millionths / 1e6),
    st.sampled_from([0.0, -0.0, 1e-3, 1e11, 99999999999.999, 1e16, 5e-324, 0.1 + 0.2, 123456789012345.67]),
)


@settings(deadline=None, max_examples=500)
@given(numbers)
def test_a_number_is_written_with_the_digits_that_python_gives_it(number: float) -> None:
    lines: list[bytes] = []
    Client(answer_with({"render_ms": number}), offer=lines.append).get()
    Client(answer_with({"render_ms": number}), offer=lines.append).get()
    told = re.search(rb'"render_ms":([^,}]+)', lines[-1])
    if number != number or number in (float("inf"), float("-inf")):
        assert told is None or told[1] == b"null" or b"sanitized" in lines[-1]
    else:
        assert told is not None
        assert float(told[1]) == number
        assert told[1].decode() == json.dumps(number) or "e" in json.dumps(number)


def test_names_are_told_by_what_they_are_and_not_by_where_they_stand() -> None:
    class Text(str):
        __slots__ = ()

    again = "".join(["user", "_id"])  # equal to the constant, and another object
    turns: tuple[dict[Any, Any], ...] = (
        {"user_id": 1, "plan": 2},
        {"plan": 1, "user_id": 2},
        {again: 1, "plan": 2},
        {"user_id": 1},
        {},
        {"n" * 60: 1, "plan": 2},
        {f"name_{number}": number for number in range(40)},
        {Text("user_id"): 1},
        {'say "hi"': 1, "é": 2},
    )
    lines: list[bytes] = []
    client = Client(answer_with(*turns), offer=lines.append)
    for _ in range(len(turns) * 3):
        client.get()
    assert [decode(line)[9] for line in lines] == list(turns) * 3


# -- ids -----------------------------------------------------------------------------------------------------------------


def test_ids_made_in_c_and_in_python_by_turns_are_all_different_and_all_good() -> None:
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    process = client.process
    request_ids, tails = [], []
    for number in range(500):
        client.get()
        if number % 7 == 0:
            request_ids.append(process.request_ids.new())
            tails.append(process.record_ids.new(7)[16:])
    rows = [decode(line) for line in lines]
    request_ids += [row[1] for row in rows]
    tails += [row[0] for row in rows]
    assert len(set(request_ids)) == len(request_ids) == len(set(tails)) == len(tails) == 500 + 72
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in request_ids)
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in request_ids)
    assert all(is_tail(tail, process.record_ids.process) for tail in tails)


def test_after_a_fork_no_id_is_made_of_random_bytes_that_the_parent_has_too() -> None:
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    client.get()  # 15 ids are left of what the system gave
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        client.process.request_ids.renew()
        client.process.record_ids.renew()
        client.get()
        os.write(writing, lines[-1])
        os._exit(0)
    os.waitpid(pid, 0)
    client.get()
    child, parent = decode(os.read(reading, 4096)), decode(lines[-1])
    os.close(reading)
    os.close(writing)
    assert child[0][:8] != parent[0][:8]
    assert child[1] != parent[1]


def test_the_count_goes_on_where_it_would_be_too_long() -> None:
    ids = RecordIds()
    last_block = 2**32 // (251 * 16) - 1
    ids._begin(int(ids.process, 16), last_block)
    ids.tails.clear()
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    client.process.record_ids.tails.clear()
    client.process.record_ids._begin(0xABCDEF, last_block)
    for _ in range(40):
        client.get()
    counts = [int(decode(line)[0][8:], 16) for line in lines]
    assert counts[0] == last_block * 251 * 16
    assert counts[15] == counts[0] + 15 * 251 < 2**32
    assert counts[16:19] == [0, 251, 502]
    assert all(decode(line)[0][:8] == "00abcdef" for line in lines)


# -- records -------------------------------------------------------------------------------------------------------------

short_rows = st.tuples(
    st.one_of(st.just("00abcdef00000fb0"), st.text(max_size=20)),
    st.text(max_size=40),
    st.one_of(st.integers(0, 2**63), st.just(-1), st.just(1.5)),
    st.integers(0, 65520),
    st.integers(0, 2**40),
    st.sampled_from(["GET", "POST", "BREW", "get", "", "\u00e9", "x" * 40]),
    st.sampled_from(["/", "/caf\u00c3\u00a9", "/a b", "/\x7f", "/\t", "", "/" + "p" * 2047, "/" + "p" * 2048, "/\xff"]),
    st.sampled_from(["200 OK", "503 Busy", "500", "odd", "", None, 204, 599, "200 OK but another"]),
    st.integers(0, 2**50),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
told = st.tuples(st.just("/<it>"), st.sampled_from([None, "killed"]), st.sampled_from([None, "LookupError"]))
rows = st.one_of(
    short_rows,
    st.tuples(short_rows, st.integers(1, 10**9)).map(lambda both: (*both[0], both[1])),
    st.tuples(short_rows, told).map(lambda both: (*both[0], *both[1], {"a": 1})),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(rows, max_size=8))
def test_records_made_in_c_are_those_that_python_makes(found: list[tuple[Any, ...]]) -> None:
    def of(make: Callable[..., Any]) -> Any:
        try:
            records = make([decode(encode(row)) for row in found])
        except Exception as error:
            return type(error)
        assert all(type(record) is Record and type(record.variables) is dict for record in records)
        return records

    expected = of(lambda decoded: [record_of(row, RESOURCE) for row in decoded])
    assert of(lambda decoded: records_of(decoded, RESOURCE)) == expected
    assert of(lambda decoded: records_of(decoded, RESOURCE)) == expected  # and once every status line is known


def test_no_attributes_are_shared_by_two_records() -> None:
    row = ["00abcdef00000fb0", "a", 1, 1, 2, "GET", "/", "200 OK", 0, {}]
    first, second = records_of([row, list(row)], RESOURCE)
    assert first.attributes == second.attributes == {}
    assert first.attributes is not second.attributes


@pytest.mark.parametrize("row", [[], [None] * 10, [[]] * 10, "abcdefghij", None, [1] * 14, [{}] * 11])
def test_a_row_that_is_none_is_an_exception_as_in_python(row: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        records_of([row], RESOURCE)


def test_what_is_no_resource_is_refused() -> None:
    with pytest.raises(TypeError):
        records_of([], ("shop", "1.0"))  # type: ignore[arg-type]


# -- notes ---------------------------------------------------------------------------------------------------------------


def test_of_a_longer_note_nothing_is_seen_once_a_shorter_one_is_written() -> None:
    file = SegmentFile.in_memory(MIB, {})
    in_flight = InFlight(Counters())
    in_flight.open(file)
    ids = RecordIds()
    for path in ("/" + "a" * 400, "/b", "/" + "c" * 5000, "/d"):
        record = make_record(ids, path=path)
        slot = in_flight.begin(record.id[16:], record.request_id, record.time_ns, "GET", path)
        assert slot is not None
        [found] = killed_requests(file, RESOURCE, ids.process)
        assert path.startswith(found.path)
        assert (len(path) < 500) == (found.path == path)
        in_flight.end(slot)
        assert killed_requests(file, RESOURCE, ids.process) == []
    file.close()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 600])
def test_a_slot_is_never_written_past_its_end(size: int) -> None:
    memory = mmap.mmap(-1, 4096)
    slot = Slot(memory, 512, 512, [])
    slot.write(b"x" * size)
    assert memory[:512] == bytes(512)
    assert memory[1024:] == bytes(3072)
    assert memory[512:1024].rstrip(b"\0") == b"x" * min(size, 512)


class NotReady:
    def __getitem__(self, index: int) -> int:
        return 0


@pytest.mark.parametrize("mark", [bytearray(1), NotReady(), [0], memoryview(bytes(1))])
def test_while_the_mark_is_not_set_a_line_is_kept_in_memory(mark: Any) -> None:
    ring = Ring(Counters(), mark)
    assert ring.offer_line(b"a\n")
    assert ring.has_early


@pytest.mark.parametrize("mark", [bytearray(), None, memoryview(b"")])
def test_a_mark_that_cannot_be_read_is_an_exception_and_no_crash(mark: Any) -> None:
    with pytest.raises((IndexError, TypeError)):
        Ring(Counters(), mark).offer_line(b"a\n")
