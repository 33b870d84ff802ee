"""``Transfer``: copies stored records from a readable chest to any other, from where the last run stopped."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self, TypeAlias

from chest.chests.batches import BatchWrite, WriteResult
from chest.chests.contract import Chest, Cursor, ReadableChest, StoredRecord, StreamChest
from chest.chests.encoded import EncodedRecord, EncodedSource, EncodedTarget, records_of
from chest.chests.query import EVERYTHING, Query
from chest.chests.registry import GivenChests
from chest.errors import RecordRejected, SettingsError
from chest.record.messages import safe_message
from chest.record.record import Record
from chest.transfer.journal import Journal, coordination_of
from chest.transfer.position import Position
from chest.transfer.read_ahead import Page, pages_ahead
from chest.transfer.result import TransferResult

__all__ = ["BATCH_RECORDS", "Change", "Reject", "Transfer", "tell_refused"]

logger = logging.getLogger("chest.transfer")

BATCH_RECORDS: Final = 2000

Change: TypeAlias = Callable[[Record], Record | None]
Reject: TypeAlias = Callable[[Record, str], object]


class Transfer:
    """Copies or moves stored records, in the order in which they were stored, each once.

    Its position is kept in the source's database, else in ``directory``, and moved on only after the target has stored a
    batch: a run that is killed loses nothing, and doubles nothing in a target that knows ``id``; in one that does not, at most
    the batch in hand. Records that turn up late, because their transaction was slow to commit, are found for 60 s after
    they were stored.

    For records as they are made, name both chests in ``chests=``: that waits for no timetable and needs no second reading.

    Example::

        with Transfer("sqlite:///chest.sqlite3", "postgresql://db/archive") as transfer:
            print(transfer.run())

    :param source: a chest that can be read, or its URL.
    :param target: a chest, or its URL.
    :param query: which records; all conditions hold.
    :param map: called with each record; what it returns is written, None leaves the record out. One that raises stops the
        run. It has to keep ``id``, by which a target knows a record that comes again.
    :param limit: the most records to take in one run.
    :param remove_after: removes from the source what the target has taken.
    :param batch_records: how many are written at once.
    :param directory: keeps the position reached if the source cannot.
    :param name: tells transfers of one source apart; without one it follows from the target and the query, so that a changed
        query begins anew.
    :param reject: called with each record that the target will never take, and the reason, before the place is moved on;
        without one, the first of a run is logged. Such a record is never removed from the source.
    :raises SettingsError: the chests are invalid, or the position can be kept nowhere.
    """

    def __init__(
        self,
        source: str | ReadableChest,
        target: str | Chest,
        *,
        query: Query = EVERYTHING,
        map: Change | None = None,  # noqa: A002 - what it is called wherever it is done
        limit: int | None = None,
        remove_after: bool = False,
        batch_records: int = BATCH_RECORDS,
        directory: Path | str | None = None,
        name: str | None = None,
        reject: Reject | None = None,
    ) -> None:
        if batch_records < 1 or (limit is not None and limit < 1):
            raise SettingsError("batch_records and limit are at least 1.")
        self._given = GivenChests()
        self.source = require_readable(self._given.chest(source))
        self.target = self._given.chest(target)
        if self.source is self.target or (self.source.name == self.target.name and ":" in self.source.name):
            raise SettingsError(f"{self.source.name} is source and target: name another chest as one of them.")
        self.query, self._map, self._limit = query, map, limit
        self._remove_after, self._batch_records, self._reject = remove_after, batch_records, reject
        self.name = name or _name_of(self.target, query)
        self._journal = Journal(coordination_of(self.source, directory), self.name)

    def run(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[TransferResult], object] = lambda _: None,
        dry_run: bool = False,
    ) -> TransferResult:
        """Transfer all records that are there now, from where the last run stopped.

        :param stop: asked between batches; True ends the run there.
        :param progress: called after every batch with what was done so far.
        :param dry_run: only count what would be read; the target is checked, and nothing is written anywhere.
        :raises ChestUnavailable: source or target failed; the next run goes on from the last batch that was taken.
        :raises ChestError: another run moved this transfer on.
        """
        began, result = time.monotonic(), TransferResult()
        try:
            position = self._journal.load()
            if dry_run:
                self.target.check()
            with closing(self._pages(position, result, stop)) as pages:  # before the source is
                for page in pages:
                    fresh = position.new_in(page.stored)
                    result.read += len(fresh)
                    if not dry_run:
                        self._send(fresh, position, result, page.read_on)
                        position.advance(page.stored, page.asked_at, is_in_order=self.source.is_in_order)
                        self._journal.save(position)
                    result.seconds = time.monotonic() - began
                    progress(result)
            if not dry_run:
                self._journal.save(position)  # it moves even if nothing matched
        finally:
            self.close()
        result.seconds = time.monotonic() - began
        return result

    def estimate(self) -> int | None:
        """About how many records the next run looks at; None if the source's places are not numbers."""
        newest, settled = self.source.newest(), self._journal.load().settled or 0
        if not isinstance(newest, int) or not isinstance(settled, int):
            return None
        return min(newest - settled, sys.maxsize if self._limit is None else self._limit)

    def begin_anew(self) -> None:
        """Forget how far it came: the next run reads from the start. In a target that knows ``id`` nothing is doubled."""
        self._journal.load()
        self._journal.save(Position())

    def close(self) -> None:
        """Let go of what was opened here, chests given as URLs too; the next run opens it again."""
        self._given.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Transfer {self.name!r} from {self.source.name} to {self.target.name}>"

    def _pages(self, position: Position, result: TransferResult, stop: Callable[[], bool]) -> Generator[Page]:
        """What is to be looked at, a batch at a time; the last one cut at the limit."""
        after = position.settled
        newest = None if self.query == EVERYTHING else self.source.newest()
        is_cut = True
        while is_cut:
            is_cut = False
            for page in pages_ahead(self._read, after, self._batch_records):
                if not page.stored and after == position.settled and self.query != EVERYTHING:
                    position.pass_over(newest, page.asked_at, is_in_order=self.source.is_in_order)
                taken = [] if stop() else self._first_of(page.stored, position, result)
                result.is_complete = not stop() and len(taken) == len(page.stored) < self._batch_records
                if taken:
                    after = taken[-1].cursor
                    yield page._replace(stored=taken)
                if len(taken) < len(page.stored):
                    is_cut = bool(taken)  # what was settled by this may have made room for the rest
                    break

    def _read(self, after: Cursor | None) -> Sequence[StoredRecord]:
        source, target = self.source, self.target
        takes_encoded = self._map is None and isinstance(target, EncodedTarget) and target.takes_encoded
        read = source.read_encoded if takes_encoded and isinstance(source, EncodedSource) else source.read
        return read(self.query, after=after, limit=self._batch_records)

    def _first_of(
        self, page: Sequence[StoredRecord], position: Position, result: TransferResult
    ) -> Sequence[StoredRecord]:
        """What may be taken of the page."""
        room = sys.maxsize if self._limit is None else self._limit - result.read
        return position.first_of(page, room, may_repeat=self.target.is_idempotent)

    def _send(
        self,
        fresh: Sequence[StoredRecord],
        position: Position,
        result: TransferResult,
        read_on: Callable[[], None],
    ) -> None:
        """Write what is new. Of a batch that fails halfway, what the target has is remembered."""
        sent = fresh if self._map is None else self._mapped(fresh, self._map)
        done: list[WriteResult[StoredRecord]] = []
        if sent and not result.written and not self.target.is_idempotent:
            self._journal.confirm()
        batch = BatchWrite(sent, lambda stored: stored.record.id)
        try:
            for each in batch.results(lambda some: self.target.write_new(records_of(some), read_on)):
                self._account_for(each, result)
                done.append(each)
        except Exception:
            for stored in (stored for each in done for stored in each.records):
                position.sent.add(stored)
            self._journal.save(position)
            raise

    @staticmethod
    def _mapped(fresh: Sequence[StoredRecord], change: Change) -> list[StoredRecord]:
        changed = [(stored, change(stored.record)) for stored in fresh]
        return [stored._replace(record=record) for stored, record in changed if record is not None]

    def _account_for(self, written: WriteResult[StoredRecord], result: TransferResult) -> None:
        if written.refusal is None:
            result.written += len(written.records)
            if self._remove_after:
                self.source.remove(written.records)
            return
        for stored in written.records:
            tell_refused(stored.record, written.refusal, self.target.name, self._reject, result)


def tell_refused(
    record: Record, refusal: RecordRejected, target: str, reject: Reject | None, result: TransferResult
) -> None:
    """Count a record that the target will never take, and tell it to ``reject``; without one, the first of a run is logged."""
    if reject is not None:
        reject(record.decoded() if isinstance(record, EncodedRecord) else record, str(refusal))
    elif not result.rejected:
        logger.error("chest: %s refused record %s for good: %s", target, record.id, safe_message(refusal))
    result.rejected += 1


def require_readable(chest: Chest) -> ReadableChest:
    """The chest, which has to be one that can be read."""
    if isinstance(chest, ReadableChest):
        return chest
    if isinstance(chest, StreamChest):
        raise SettingsError(f"{chest.name} is a stream: take it on with StreamTransfer, or with chest transfer.")
    raise SettingsError(f"{chest.name} can only be written: name a chest that can be read as the source.")


def _name_of(target: Chest, query: Query) -> str:
    if query == EVERYTHING:
        return target.name
    return f"{target.name} {blake2b(repr(query).encode(), digest_size=6).hexdigest()}"
