"""``InFlight``: which requests are being served, kept in the ring's header, which survives the process.

The area lies in the header of the ring file (:mod:`chest.ring.segments.file`): slots of 512 bytes, each NUL or one line of JSON::

    ["<second half of the record's id>", "<request id>", <time_ns>, <time_ns % CHECK>, "<method>", "<path>", "<scheme>"]

The scheme is ``null`` for work that is no request. What an older release wrote, and a line that was too long, has none.

A slot is taken as a segment is (:mod:`chest.ring.writer`): the request that has popped it from the list of idle ones owns it. An object
for a slot is made when the first request needs it: most processes serve few requests at a time, and a test has many applications.
Threads, greenlets and signal handlers need no lock for that, and none waits: if no slot is free, the request goes without.

A note never stands in the place of the request's record, although both have one id and a store keeps the one that comes first. It is made a
record only by the process that has the owner's lock, behind all lines of the ring (:mod:`chest.ring.recovery`), and it goes behind
what is spooled (:meth:`chest.delivery.worker.ChestWorker.put_orphaned`): nothing that the owner recorded comes later.

The line ends with a NUL, behind which may stand what is left of an earlier one. Its first byte is written last, or (in Python,
whose one C call zeroes the whole slot and then copies) it is zeroed first: a line that was torn by SIGKILL has no beginning or no
end, and is left out. One that was too long for its slot fills it to the last byte, and is told by that.
"""

from __future__ import annotations

import mmap
import struct
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from chest import native
from chest.record.counters import Counters
from chest.record.decoding import completed, has_types
from chest.record.encoding import NEWLINE, decode, encode_line
from chest.record.record import Outcome, Record
from chest.record.record_id import first_id, is_tail
from chest.record.row import CHECK
from chest.ring.line import Resource
from chest.ring.segments.file import SegmentFile

_CLEAR: Final = struct.Struct("x")
_LONGEST_CUT: Final = 12
"""Bytes that may stand between the last whole character of a cut line and its end: an escaped pair of surrogates."""
_TIME_BITS: Final = 63


class SlotInPython:
    """Room for one request; belongs to the request that popped it from ``home``."""

    __slots__ = ("__weakref__", "clear", "home", "write")

    def __init__(self, memory: mmap.mmap, offset: int, length: int, home: list[Any]) -> None:
        self.write: Callable[[bytes], object] = partial(struct.Struct(f"{length}s").pack_into, memory, offset)
        self.clear: Callable[[], object] = partial(_CLEAR.pack_into, memory, offset)
        self.home = home


Slot: TypeAlias = native.Slot if native.IS_NATIVE else SlotInPython  # type: ignore[valid-type]


class InFlight:
    """Notes the requests that are being served, so that one whose process is killed leaves a record all the same.

    :param counters: ``in_flight_skipped`` counts requests that found no free slot.
    """

    # Slots, so that the compiled part finds `idle` in one load.
    __slots__ = ("_counters", "_made", "_unmade", "idle")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._unmade: list[tuple[mmap.mmap, int, int]] = []
        """Memory, offset and length of the slots that no request has needed yet."""
        self._made: list[tuple[weakref.ref[Slot], mmap.mmap, int, int]] = []
        self.idle: list[Slot] = []
        """Free slots; a new list after each :meth:`open`, so that a child hands back no slot of its parent's."""

    def open(self, file: SegmentFile) -> None:
        """Take the slots of a fresh file into use."""
        header, begin, count, length = file.in_flight_area
        last = begin + (count - 1) * length
        self.idle, self._made = [], []
        self._unmade = [(header, offset, length) for offset in range(last, begin - length, -length)]

    def close(self) -> None:
        """No request is noted any more."""
        self.idle, self._unmade, self._made = [], [], []

    def reclaim(self) -> None:
        """Hand back slots whose requests are gone; called from time to time.

        An exception that a signal handler raises may end a request between taking its slot and handing it back. The slot
        then has no owner, and ends with the request; another takes its place, which notes nothing.
        """
        idle, made = self.idle, self._made
        for number, (slot, memory, offset, length) in enumerate(made):
            if slot() is None:
                another = Slot(memory, offset, length, idle)
                another.clear()
                made[number] = (weakref.ref(another), memory, offset, length)
                idle.append(another)

    @property
    def count(self) -> int:
        """How many requests are being served."""
        return max(0, len(self._made) - len(self.idle))

    def _new_slot(self) -> Slot | None:
        idle = self.idle
        try:
            memory, offset, length = self._unmade.pop()
        except IndexError:
            return None
        try:
            slot = Slot(memory, offset, length, idle)
            self._made.append((weakref.ref(slot), memory, offset, length))
        except BaseException:  # a signal handler's
            if all(made[2] != offset for made in self._made):  # else `reclaim` hands it back
                self._unmade.append((memory, offset, length))
            raise
        return slot

    def begin(
        self, id_tail: str, request_id: str, time_ns: int, method: str, path: str, scheme: str | None = ""
    ) -> Slot | None:
        """Note a request that begins; the slot is for :meth:`end`, None if there was none. Never waits and never raises.

        :param id_tail: of the record's id, the part behind the time.
        :param path: as the server gave it; cleaned when it is recovered.
        :param scheme: "" if it is unknown; None for work that is no request.
        """
        try:
            slot = self.idle.pop()
        except IndexError:
            slot = self._new_slot()
            if slot is None:
                if self._made:
                    self._counters.add("in_flight_skipped")
                return None
        try:
            slot.write(
                encode_line((id_tail, request_id, time_ns, time_ns % CHECK, method, path, scheme), None, NEWLINE)
            )
        except Exception:  # noqa: BLE001 - text that is no Unicode, or a file that was closed
            self.end(slot)
            self._counters.add("in_flight_skipped")
            return None
        return slot

    @staticmethod
    def end(slot: Slot) -> None:
        """The request's record is in the ring, or there is to be none. Never raises."""
        try:
            slot.clear()
        except (ValueError, TypeError):  # its file was closed, by the end of the recorder or in a forked child
            return
        slot.home.append(slot)


def killed_requests(file: SegmentFile, resource: Resource, process: str) -> list[Record]:
    """A record, with ``outcome="killed"``, of each request that the owner of this file was serving when it ended.

    What was torn, or damaged, is left out: nothing is made of it that was not noted.

    :param process: the process part of record ids, which with the time makes each id a check.
    """
    records = []
    for _, content in _written_slots(file):
        row = _row_of(content)
        record = None if row is None else _record_of(row, resource, process)
        if record is not None:
            records.append(record)
    return records


class Noted(NamedTuple):
    """A request, or work, that is under way."""

    method: str
    scheme: str | None
    """"" if it is unknown; None for work."""


def noted_in(file: SegmentFile) -> tuple[Noted, ...]:
    """What is noted in the file."""
    rows = [_row_of(content) for _, content in _written_slots(file)]
    known = [row for row in rows if row is not None and len(row) >= len(_TYPES)]
    return tuple(Noted(str(row[4]), _scheme_of(row)) for row in known)


def _scheme_of(row: list[Any]) -> str | None:
    said = row[len(_TYPES)] if len(row) > len(_TYPES) else ""
    return None if said is None else str(said)


def has_killed(records: Iterable[Record]) -> bool:
    """True if the record of a request whose process was killed is among these."""
    return any(record.outcome == Outcome.KILLED for record in records)


def clear_killed_requests(file: SegmentFile) -> None:
    """Every chest has the records of :func:`killed_requests`, or none is to be made."""
    header = file.in_flight_area[0]
    for offset, _ in _written_slots(file):
        _CLEAR.pack_into(header, offset)


def _written_slots(file: SegmentFile) -> Iterator[tuple[int, bytes]]:
    header, begin, count, length = file.in_flight_area
    for offset in range(begin, begin + count * length, length):
        if header[offset]:
            yield offset, header[offset : offset + length]


def _row_of(content: bytes) -> list[Any] | None:
    line = content.partition(b"\0")[0]
    if line.endswith(b"\n"):
        return _decoded(line)
    return _row_of_cut_line(line) if len(line) == len(content) else None


def _row_of_cut_line(line: bytes) -> list[Any] | None:
    """The request of a line that was longer than its slot: its path, which stands last, ends earlier."""
    for cut in range(_LONGEST_CUT + 1):
        row = _decoded(line[: len(line) - cut] + b'"]')
        if row is not None and len(row) >= len(_TYPES):
            return row[: len(_TYPES)]  # the scheme may be cut, too
    return None


def _decoded(line: bytes) -> list[Any] | None:
    try:
        row = decode(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, list) else None


_TYPES: Final = ((str,), (str,), (int,), (int,), (str,), (str,))


def _record_of(row: list[Any], resource: Resource, process: str) -> Record | None:
    row = completed(row, _TYPES)
    if not has_types(row, _TYPES):
        return None
    tail, request_id, time_ns, check, method, path = row
    if time_ns < 0 or time_ns.bit_length() > _TIME_BITS or time_ns % CHECK != check or not is_tail(tail, process):
        return None
    return Record(
        first_id(time_ns) + tail, request_id, time_ns, 0, method, path, None, None, Outcome.KILLED, None, {}, {}, *resource
    )  # fmt: skip
