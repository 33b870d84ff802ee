"""``Table``: the memory in which one process counts its requests, as its owner writes it and as others read it.

Layout, with numbers as the processor has them, since only processes of one host read it::

    0      magic "CHESTTLY", version u32, slots u32, length of the description u64
    64     description as JSON: service, recorder, pid
    4096   figures: u64 that is odd while they are written, length u64, JSON
    16384  slots of 512 bytes, the first for what has no slot of its own, the others in use one after the other:
             0    length of the labels as JSON; 0 if the slot is not in use
             8    u64 for each bucket: how many requests lasted longer than the bound before and at most its own
             128  the sum of their durations, nanoseconds
             136  exemplar: u64 that is odd while it is written, time_ns, duration_ns, length of the request's id, the id
             256  labels as JSON
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from mmap import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

from chest import native
from chest.record.encoding import decode, encode

MAGIC: Final = b"CHESTTLY"
VERSION: Final = 1
HEADER: Final = struct.Struct("=8sIIQ")
DESCRIPTION: Final = 64
FIGURES: Final = 4096
SLOTS: Final = 16384
SLOT_BYTES: Final = 512
SLOT_COUNT: Final = 1024
TABLE_BYTES: Final = SLOTS + SLOT_COUNT * SLOT_BYTES
SUM: Final = 128
EXEMPLAR: Final = 136
EXEMPLAR_ID: Final = 168
LABELS: Final = 256
MOST_ID_BYTES: Final = LABELS - EXEMPLAR_ID
EXEMPLAR_SECONDS: Final = 15
"""The slowest request of so long a time is the exemplar: about the time between two scrapes."""
BOUNDS_NS: Final = tuple(
    ms * 1_000_000 for ms in (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000)
)
"""OpenTelemetry's bounds, which prometheus_client also has; the last bucket has none."""
BUCKETS: Final = len(BOUNDS_NS) + 1
_U64: Final = struct.Struct("=Q")
_NUMBERS: Final = struct.Struct(f"={BUCKETS + 1}Q")
_EXEMPLAR: Final = struct.Struct("=4Q")
_TRIES: Final = 100
native.agree(
    TALLY_LAYOUT=f"{SLOTS} {SLOT_BYTES} {SUM} {EXEMPLAR} {EXEMPLAR_ID} {LABELS} {EXEMPLAR_SECONDS}", TALLY_BUCKETS=BUCKETS
)  # fmt: skip


class UnreadableTableError(Exception):
    """This is no table, or one of another release."""


class Exemplar(NamedTuple):
    """One of the requests of a series."""

    request_id: str
    time_ns: int
    """When it ended, Unix time."""
    duration_ns: int


class Series(NamedTuple):
    """What was counted under the same labels."""

    labels: tuple[str, ...]
    buckets: tuple[int, ...]
    sum_ns: int
    exemplar: Exemplar | None = None

    def plus(self, other: Series) -> Series:
        """Both of them together."""
        newest = max((self.exemplar, other.exemplar), key=lambda each: 0 if each is None else each.time_ns)
        buckets = tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True))
        return Series(self.labels, buckets, self.sum_ns + other.sum_ns, newest)


def write_header(memory: mmap, description: Mapping[str, Any]) -> None:
    """Begin a table in memory of NUL bytes."""
    text = encode(description)[: FIGURES - DESCRIPTION]
    memory[DESCRIPTION : DESCRIPTION + len(text)] = text
    HEADER.pack_into(memory, 0, MAGIC, VERSION, SLOT_COUNT, len(text))


def write_labels(memory: mmap, number: int, labels: Sequence[str]) -> bool:
    """Take a slot into use; False if the labels have no room in it."""
    text, begin = encode(list(labels)), SLOTS + number * SLOT_BYTES
    if len(text) > SLOT_BYTES - LABELS:
        return False
    memory[begin + LABELS : begin + LABELS + len(text)] = text
    _U64.pack_into(memory, begin, len(text))
    return True


def write_figures(memory: mmap, figures: Mapping[str, Any]) -> bool:
    """Put what the recorder knows of itself where others read it; False if it is too much."""
    text = encode(figures)
    if len(text) > SLOTS - FIGURES - 2 * _U64.size:
        return False
    version = _U64.unpack_from(memory, FIGURES)[0] | 1
    _U64.pack_into(memory, FIGURES, version)
    memory[FIGURES + 16 : FIGURES + 16 + len(text)] = text
    _U64.pack_into(memory, FIGURES + 8, len(text))
    _U64.pack_into(memory, FIGURES, version + 1)
    return True


class Table(NamedTuple):
    """A table as it was found."""

    description: Mapping[str, Any]
    figures: Mapping[str, Any]
    series: list[Series]


def read_table(path: Path) -> Table:
    """What another process, or this one, has counted in a file.

    :raises UnreadableTableError: it is no table of this release.
    :raises OSError: the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid not in (os.geteuid(), os.lstat(path.parent).st_uid):
            raise UnreadableTableError(f"{path} belongs to another user")
        return table_in(lambda size, begin: os.pread(descriptor, size, begin))
    finally:
        os.close(descriptor)


def table_in_memory(memory: mmap) -> Table:
    """What this process has counted, also if it has no file."""
    return table_in(lambda size, begin: memory[begin : begin + size])


def table_in(read: Any) -> Table:
    """The table that ``read(size, begin)`` gives bytes of."""
    head = read(FIGURES, 0)
    if len(head) < FIGURES:
        raise UnreadableTableError("shorter than a header")
    magic, version, count, length = HEADER.unpack_from(head)
    if magic != MAGIC or version != VERSION or count > SLOT_COUNT or length > FIGURES - DESCRIPTION:
        raise UnreadableTableError("does not begin as a table of this release does")
    description = _mapping(head[DESCRIPTION : DESCRIPTION + length])
    return Table(description, _figures(read), list(_series(read, count)))


def _figures(read: Any) -> Mapping[str, Any]:
    for _ in range(_TRIES):
        area = read(SLOTS - FIGURES, FIGURES)
        version, length = struct.unpack_from("=2Q", area)
        if not version % 2 and length <= len(area) - 16 and read(_U64.size, FIGURES) == area[: _U64.size]:
            return _mapping(area[16 : 16 + length])
    return {}  # its owner was killed while it wrote


def _mapping(text: bytes) -> Mapping[str, Any]:
    try:
        found = decode(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _series(read: Any, count: int) -> Iterator[Series]:
    for number in range(count):
        slot = read(SLOT_BYTES, SLOTS + number * SLOT_BYTES)
        length = _U64.unpack_from(slot)[0] if len(slot) == SLOT_BYTES else 0
        if not length or length > SLOT_BYTES - LABELS:
            return
        try:
            labels = decode(slot[LABELS : LABELS + length])
        except (ValueError, RecursionError):
            continue
        *buckets, sum_ns = _NUMBERS.unpack_from(slot, 8)
        yield Series(tuple(map(str, labels)), tuple(buckets), sum_ns, _exemplar(slot))


def _exemplar(slot: bytes) -> Exemplar | None:
    version, time_ns, duration_ns, length = _EXEMPLAR.unpack_from(slot, EXEMPLAR)
    if version % 2 or not version or length > MOST_ID_BYTES:
        return None
    request_id = slot[EXEMPLAR_ID : EXEMPLAR_ID + length].decode("ascii", "replace")
    return Exemplar(request_id, time_ns, duration_ns)
