"""``LiveRingReader``: the ring of a process that lives and leaves its delivery to another, seen from that other one.

The owner writes, and this process reads; what they share is the file. A segment that the owner has retired, and of which
everything is delivered, is zeroed here and marked as drained, and the owner takes it back when it needs one
(``RingWriter.take_back``). How far the owner has written is not in the file: a line is there when its bytes are, up to the
first NUL and the last newline before it, whatever order another processor sees them in.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.line import Lineage, Resource, decode_foreign_lines
from chest.ring.lock_file import DRAIN, OWNER, LockFile
from chest.ring.recovery import LOCK_SUFFIX
from chest.ring.segments.batch_notes import BatchNotes
from chest.ring.segments.file import ACTIVE, DRAINED, RETIRED, SegmentFile
from chest.ring.segments.header import UnreadableRingError
from chest.ring.segments.lines import lost_page_at, whole_lines

EXTERNAL: Final = "external"
"""The value of the description's ``exporter`` if another process is to deliver."""


class Taken(NamedTuple):
    """As :class:`chest.ring.reader.Chunk`, decoded."""

    data: list[Record]
    segment: int
    begin: int
    end: int
    left: int | None = None


class LiveRingReader:
    """A ring that this process alone delivers, as long as it holds the drain lock.

    :param counters: ``dropped.damaged``.
    """

    def __init__(self, path: Path, file: SegmentFile, lock: LockFile, counters: Counters) -> None:
        self.path = path
        self._file = file
        self._lock = lock
        self._counters = counters
        text = {key: value for key, value in file.description.items() if isinstance(value, str)}
        self._resource = Resource(text.get("service", ""), text.get("release", ""), text.get("host", ""))
        self._lineage = Lineage.of(file.description)
        self._read = [file.committed(index) for index in range(len(file.segments))]
        self._next = 0
        self.notes = BatchNotes(file)
        """Where batches are noted before they are sent."""
        self._sent = deque(self.notes.ranges_left(self._read))
        # A page is lost with its file, and what is left of the ring moves into another one: never in one that is being read.
        self._gaps = [
            lost_page_at(segment, begin) is not None for segment, begin in zip(file.segments, self._read, strict=True)
        ]

    @classmethod
    def adopt(cls, path: Path, counters: Counters) -> LiveRingReader | None:
        """Become the one that delivers this ring; None when another is, its owner does it itself, or is gone."""
        lock = LockFile.open(path.with_suffix(LOCK_SUFFIX))
        if lock is None:
            return None
        try:
            # A ring whose owner is gone is for recovery, which also looks at what lies behind its last line.
            if lock.is_locked(OWNER) and lock.try_lock(DRAIN) and lock.is_linked():
                file = SegmentFile.open(path)
                if file.description.get("exporter") == EXTERNAL:
                    return cls(path, file, lock, counters)
                file.close()
        except (UnreadableRingError, OSError):  # recovery says so, when its owner is gone
            pass
        lock.close()
        return None

    @property
    def has_owner(self) -> bool:
        """True if the process that writes into it still lives, and has not removed it."""
        return self._lock.is_locked(OWNER)

    @property
    def full_share(self) -> float:
        """Which share of the ring is full and not delivered, as far as the file tells."""
        states = self._file.states()
        return sum(state == RETIRED for state in states) / len(states)

    @property
    def most_pending_bytes(self) -> int:
        """At most so many bytes wait to be taken: how far the owner has written is not in the file."""
        pairs = zip(self._file.segments, self._read, strict=True)
        in_use = (state in (ACTIVE, RETIRED) for state in self._file.states())
        return sum(len(segment) - read for (segment, read), is_used in zip(pairs, in_use, strict=True) if is_used)

    def take(self, most_bytes: int) -> Taken | None:
        """Records of one segment, about ``most_bytes`` of them; first what another reader has sent, and not committed."""
        if self._sent:
            (index, begin, end), left, is_settled = self._sent[0]
            lines = b"" if is_settled else self._file.segments[index][begin:end]
            sent = self._taken(lines, index, begin, end, left)
            self._sent.popleft()
            return sent
        count = len(self._file.segments)
        for index in (*range(self._next, count), *range(self._next)):
            # The state first: behind RETIRED nothing is written any more.
            state = self._file.state(index)
            if state not in (ACTIVE, RETIRED):
                continue
            taken = self._take_from(index, most_bytes)
            if taken is not None:
                self._next = index
                return taken
            if state == RETIRED:
                self._recycle_if_done(index)
        return None

    def _take_from(self, index: int, most_bytes: int) -> Taken | None:
        segment, begin = self._file.segments[index], self._read[index]
        if begin >= len(segment) or not segment[begin]:
            return self._behind_gap(index) if self._gaps[index] else None
        lines = whole_lines(segment, begin, most_bytes).data
        if not lines:
            return self._behind_gap(index) if self._gaps[index] else None
        return self._taken(lines, index, begin, begin + len(lines))

    def _taken(self, lines: bytes, index: int, begin: int, end: int, left: int | None = None) -> Taken:
        records, damaged = decode_foreign_lines(lines, self._resource, self._lineage)
        if damaged:
            self._counters.add("dropped.damaged", damaged)
        self._read[index] = end
        return Taken(records, index, begin, end, left)

    def _behind_gap(self, index: int) -> Taken | None:
        segment, begin = self._file.segments[index], self._read[index]
        gap = lost_page_at(segment, begin)
        if gap is None:
            self._gaps[index] = False
            return None
        self._read[index] = gap.end  # its owner has counted what was lost
        return Taken([], index, begin, gap.end)

    def commit_to(self, segment: int, end: int) -> None:
        """Every chest has the lines of the segment up to ``end``."""
        self._file.set_committed(segment, end)

    def _recycle_if_done(self, index: int) -> None:
        """Hand a retired segment back of which everything is read and committed."""
        used = self._read[index]
        if self._file.committed(index) != used:
            return
        self._file.clear(index, used)
        self._read[index] = 0
        self._file.set_state(index, DRAINED)

    def release(self) -> None:
        """Leave the rest to the next reader: another sidecar, or recovery when the owner is gone."""
        self._file.close()
        self._lock.close()
