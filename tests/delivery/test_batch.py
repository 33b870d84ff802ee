"""Which lines of a ring become which batch, and when they are committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from chest.delivery.batch import Batch, Batcher
from chest.delivery.workers import ChestWorkers
from chest.record.counters import Counters
from chest.record.record import Record
from chest.ring.reader import Chunk
from chest.ring.segments.batch_notes import MOST_RANGES, BatchNotes, Range
from chest.ring.segments.file import SegmentFile
from tests.support import make_record


class Workers:
    """Keeps what is submitted."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def submit(self, records: Sequence[Record], *, is_fixed: bool = False) -> Batch:
        self.batches.append(Batch(records, 1, is_fixed=is_fixed))
        return self.batches[-1]

    def poll(self) -> None: ...


@pytest.fixture
def file(tmp_path: Path) -> SegmentFile:
    """A ring with a hundred lines in each of three segments."""
    made = SegmentFile.create(tmp_path / "batches.ring", 1 << 20, {"process": "01234567"})
    for segment in made.segments[:3]:
        for number in range(100):
            segment.write(b"%09d\n" % number)
    return made


@pytest.fixture
def workers() -> Workers:
    return Workers()


def submitted(
    workers: Workers,
    file: SegmentFile,
    ranges: Sequence[Range],
    commit: Callable[[int, int], None] | None = None,
    notes: Callable[[], BatchNotes] | None = None,
    batch_records: int = 1000,
    counters: Counters | None = None,
) -> Batcher[bytes]:
    """What has taken these lines, and submitted them."""
    chunks = iter([Chunk(file.segments[segment][begin:end], segment, begin, end) for segment, begin, end in ranges])
    kept = BatchNotes(file)
    batcher = Batcher[bytes](
        lambda: next(chunks, None),
        lambda data: [make_record() for _ in data.splitlines()],
        commit or file.set_committed,
        batch_records,
        counters or Counters(),
        notes or (lambda: kept),
    )
    while not batcher.fill():
        batcher.submit_to(cast(ChestWorkers, workers))
    batcher.submit_to(cast(ChestWorkers, workers))
    return batcher


def noted(file: SegmentFile) -> list[list[Range]]:
    """The batches that are to be sent again."""
    begins = [file.committed(index) for index in range(len(file.segments))]
    return [batch.ranges for batch in BatchNotes(file).left(begins) if not batch.is_settled]


def test_a_batch_is_noted_in_the_order_in_which_it_is_sent(workers: Workers, file: SegmentFile) -> None:
    submitted(workers, file, [Range(0, 0, 20), Range(0, 20, 40), Range(1, 0, 20), Range(0, 40, 60)])
    assert noted(file) == [[Range(0, 0, 40), Range(1, 0, 20), Range(0, 40, 60)]]
    assert [batch.is_fixed for batch in workers.batches] == [True], "also if the spool has it before any chest"


def test_a_batch_ends_when_its_note_is_full(workers: Workers, file: SegmentFile) -> None:
    ranges = [Range(index % 2, index // 2 * 10, index // 2 * 10 + 10) for index in range(MOST_RANGES + 3)]
    submitted(workers, file, ranges)
    assert [len(batch.records) for batch in workers.batches] == [MOST_RANGES, 3]
    assert noted(file) == [ranges[:MOST_RANGES], ranges[MOST_RANGES:]]


def test_a_batch_that_is_settled_while_others_are_committed_is_committed_when_its_note_says_so(
    workers: Workers, file: SegmentFile
) -> None:
    commits = []

    def commit(segment: int, end: int) -> None:
        commits.append((segment, end))
        workers.batches[1].settle()
        assert all(lines.segment != segment for ranges in noted(file) for lines in ranges)

    batcher = submitted(workers, file, [Range(0, 0, 10), Range(1, 0, 10)], commit, batch_records=1)
    workers.batches[0].settle()
    batcher.commit_settled()
    batcher.commit_settled()
    assert commits == [(0, 10), (1, 10)]


def test_a_batch_that_cannot_be_noted_is_delivered_counted_and_logged_once(
    workers: Workers, file: SegmentFile, caplog: pytest.LogCaptureFixture
) -> None:
    def notes() -> BatchNotes:
        raise OSError("the page is gone")

    counters = Counters()
    ranges = [Range(0, begin, begin + 10) for begin in (0, 10, 20)]
    submitted(workers, file, ranges, notes=notes, batch_records=1, counters=counters)
    assert [batch.is_fixed for batch in workers.batches] == [False] * 3
    assert counters.snapshot()["batches_unnoted"] == {"OSError": 3}
    (line,) = caplog.messages
    assert "could not be noted" in line
    assert "the page is gone" in line


def test_a_batch_is_settled_although_its_ring_was_closed_meanwhile(workers: Workers, file: SegmentFile) -> None:
    batcher = submitted(workers, file, [Range(0, 0, 10)], lambda segment, end: None)
    file.close()
    workers.batches[0].settle()
    batcher.commit_settled()
    assert not batcher.is_unsettled
