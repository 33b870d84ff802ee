"""``ClickHouseChest``: one row a request in a table of ClickHouse, for hundreds of millions of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from operator import attrgetter
from typing import ClassVar, Final

from chest.chests.asking.conditions import Name
from chest.chests.asking.counting_chest import CountingChest
from chest.chests.asking.cube import Basis
from chest.chests.asking.following import FollowedRecords
from chest.chests.asking.pieces import BudgetOver, Pieces
from chest.chests.asking.sql.pieces import can_count
from chest.chests.batches import BatchWrite, batch_id
from chest.chests.clickhouse.asking import SCANNED_AT_ONCE, WORDS, ClickHousePieces, MatchingRecords, bound
from chest.chests.clickhouse.retention import ClickHouseRetentionBackend
from chest.chests.clickhouse.server import UNKNOWN_TABLE, ClickHouseServer, StatementFailed, literal
from chest.chests.clickhouse.table import (
    COLUMNS,
    check_rights,
    look_at,
    make_ready,
    notices_of,
    require_database,
    require_fit,
)
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.contract import Cursor, StoredRecord
from chest.chests.query import EVERYTHING, Query
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.encoding import encode
from chest.record.record import Record

__all__ = ["ClickHouseChest"]

_REMOVED_AT_ONCE: Final = 4000
"""A statement is parsed up to 256 KiB."""
_HOPELESS_AFTER: Final = 30
"""Records refused one by one, and none taken: the table refuses everything, and the others need not be tried."""
_logger: Final = logging.getLogger("chest.chests.clickhouse")
_LARGEST: Final = 2**63


class ClickHouseChest(CountingChest):
    """One row a request in a table of ClickHouse, over HTTP. Not for fewer than some hundred records a second: see SQL.

    A batch is one insert with a deduplication token made of its records' ids. A batch that is sent again, with its answer
    lost, after ``kill -9`` or from the spool, is the same batch, and stored once as long as the table remembers the token. A
    record that comes again in another batch is stored again.

    A missing table is created; one that lacks a column is refused. Records are read in the order of ``seq``, the moment at
    which the server stored them. What a question counts is counted by the server.

    :param url: ``clickhouse://user:password@host:8123/database``, or ``clickhouse+https://`` (port 8443), with several hosts of
        one cluster as ``host1,host2``; after a ``?``: ``table=chest_records``; ``ttl_days=30`` has the server remove records 30
        days after their requests; ``gzip=0`` sends batches as they are; ``ca_file=/path`` for certificates to trust;
        ``timeout_seconds=10`` for each step of a request, twice as long for all of it.
    :raises SettingsError: invalid chest URL, or one that asks for asynchronous inserts.
    """

    is_idempotent: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self.target = ClickHouseTarget.of(url)
        self.name = self.target.name
        self._server = ClickHouseServer(self.target)
        self._notices: Sequence[str] = ()
        self._settings = ""
        self._is_ready = self._is_there = False
        self._stored_apart: list[str] = []

    def open(self) -> None:
        if not self._is_ready:
            table = make_ready(self._server, self.target)
            self._settings = ", type_json_skip_duplicated_paths = 1" if table.has_json else ""
            self._notices = notices_of(self._server, self.target, table)
            for notice in self._notices:
                _logger.warning("chest: %s: %s", self.name, notice)
            self._is_ready = self._is_there = True

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says, but that a batch of several days is stored a day at a time, and completed by the next try.

        If records are refused, the others are stored already: the next call with just those only confirms it.
        """
        if not records:
            return
        self.open()
        ids = [record.id for record in records]
        if ids == self._stored_apart:
            return
        try:
            self._insert(records)
        except RecordRejected as refusal:
            if refusal.ids or len(records) == 1:
                raise
            self._store_apart(records, refusal)

    def _store_apart(self, records: Sequence[Record], refusal: RecordRejected) -> None:
        """Store what the table takes of a batch that it refuses, by halves.

        :raises RecordRejected: it refuses these records, and has the others: those are not stored again.
        :raises ChestUnavailable: it took none, so the fault is not a record's.
        """
        taken: list[str] = []
        refused: list[str] = []
        for result in BatchWrite(records, attrgetter("id")).results(self._insert):
            (refused if result.refusal else taken).extend(record.id for record in result.records)
            if not taken and len(refused) in (len(records), _HOPELESS_AFTER):
                raise ChestUnavailable(f"{self.name} refuses every record, so the fault is the table's: {refusal}")
        among = set(taken)
        self._stored_apart = [record.id for record in records if record.id in among]
        if refused:
            raise RecordRejected(str(refusal), refused)

    def _insert(self, records: Sequence[Record]) -> None:
        lines = self._lines(records)
        token = literal(batch_id([record.id for record in records]))
        statement = (
            f"INSERT INTO {self.target.quoted_table} ({', '.join(COLUMNS)})"
            f" SETTINGS async_insert = 0, insert_deduplicate = 1, insert_deduplication_token = {token},"
            f" max_partitions_per_insert_block = 0, input_format_json_read_objects_as_strings = 1{self._settings}"
            " FORMAT JSONCompactEachRow"
        )
        try:
            self._server.insert(statement, lines)
        except StatementFailed as error:
            if error.code == UNKNOWN_TABLE:  # dropped since it was opened
                self._is_ready = self._is_there = False
            raise

    def check(self) -> None:
        table = look_at(self._server, self.target)
        if table is not None:
            require_fit(table, self.target)
            self._notices = notices_of(self._server, self.target, table)
        else:
            require_database(self._server, self.target)
        check_rights(self._server, self.target, table)

    def notices(self) -> Sequence[str]:
        return self._notices

    def wait_at_most(self, seconds: float) -> bool:
        self._server.wait_at_most(seconds)
        return True

    def close(self) -> None:
        self._server.close()

    def read(self, query: Query = EVERYTHING, *, after: Cursor | None = None, limit: int = 1000) -> list[StoredRecord]:
        return list(self._follow(query, after, limit, None).records)

    def following(
        self,
        query: Query = EVERYTHING,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> FollowedRecords:
        newest = self.newest()  # before it is read: what is stored meanwhile is for the next time
        found = self._follow(query, after, limit, seconds)
        if newest is None or len(found.records) >= limit or not found.basis.is_exact:
            return found
        return replace(found, after=max(int(newest), int(found.after or 0)))

    def _follow(self, query: Query, after: Cursor | None, limit: int, seconds: float | None) -> FollowedRecords:
        begin, place, read, is_whole = time.monotonic(), int(after or 0), 0, False
        size = limit if self._can_count(query) else max(limit, SCANNED_AT_ONCE)
        found: list[StoredRecord] = []
        # Text that is not Unicode (a byte of a command line) cannot be asked for, and no record has it.
        with suppress(UnicodeEncodeError, BudgetOver), self._pieces() as pieces:
            for page in pieces.pages(query, place + 1, None, size, seconds):
                read += len(page)
                found += [stored for stored in page if query.matches(stored.record)]
                place = int(page[-1].cursor) if page else place
                if len(found) >= limit:
                    break
            else:
                is_whole = True
        is_enough = len(found) >= limit
        # What was stored in the nanosecond of the last one has its cursor, so no later page could ask for it.
        end = found[limit - 1].cursor if is_enough else None
        found = found[:limit] + [stored for stored in found[limit:] if stored.cursor == end]
        basis = Basis(is_whole or is_enough, read, read, time.monotonic() - begin)
        return FollowedRecords(found, basis, int(found[-1].cursor) if is_enough else place or after)

    def newest(self) -> Cursor | None:
        with self._reading():
            ((seq, count),) = self._server.rows(f"SELECT max(`seq`), count() FROM {self.target.quoted_table}")  # noqa: S608
        return int(seq) if count else None

    def remove(self, stored: Sequence[StoredRecord]) -> int:
        removed = 0
        for start in range(0, len(stored), _REMOVED_AT_ONCE):
            some = stored[start : start + _REMOVED_AT_ONCE]
            times = [each.record.time_ns for each in some]
            where = (
                f"{bound(WORDS.time_bound('>='), [min(times)])} AND {bound(WORDS.time_bound('<='), [max(times)])}"
                f" AND (`seq`, `id`) IN ({', '.join(f'({int(each.cursor)}, {literal(each.record.id)})' for each in some)})"
            )
            table = self.target.quoted_table
            ((count,),) = self._server.rows(f"SELECT count() FROM {table} WHERE {where}")  # noqa: S608
            if count:
                self._server.run(f"DELETE FROM {table} WHERE {where}")  # noqa: S608
            removed += count
        return removed

    def retention(self) -> ClickHouseRetentionBackend:
        return ClickHouseRetentionBackend(self._server, self.target)

    def _can_count(self, query: Query, by: Sequence[Name] = ()) -> bool:
        return can_count(query, by, WORDS)

    @contextmanager
    def _pieces(self) -> Iterator[ClickHousePieces]:
        with self._reading():
            yield ClickHousePieces(self._server, self.target.quoted_table)

    @contextmanager
    def _pieces_for(self, query: Query, by: Sequence[Name] = ()) -> Iterator[Pieces]:
        with self._pieces() as pieces:
            yield pieces if self._can_count(query, by) else MatchingRecords(pieces)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Nothing is created for a reader."""
        self._is_there = self._is_there or look_at(self._server, self.target) is not None
        if not self._is_there:
            raise ChestUnavailable(
                f"{self.name} has no table {self.target.table}: nothing was recorded here yet, it was under another name"
                " (?table=), or this user may not see it."
            )
        yield

    def _lines(self, records: Sequence[Record]) -> bytes:
        try:
            return _lines_of(records)
        # Text that is not Unicode, a number that does not fit, a value that is no JSON.
        except (OverflowError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        refused = [record.id for record in records if not _is_encodable(record)]
        raise RecordRejected(f"{self.name} cannot hold a record: {why}", refused)


def _lines_of(records: Sequence[Record]) -> bytes:
    """Rows of :data:`COLUMNS`, all in one call; names would make them twice as long.

    The server takes an object for the text of a column of the type String as it stands here.
    """
    numbers = [number or 0 for record in records for number in (record.time_ns, record.duration_ns, record.status)]
    if min(numbers) < -_LARGEST or max(numbers) >= _LARGEST:
        raise OverflowError("a number is beyond 64 bits")
    return encode([(*record, place) for place, record in enumerate(records)])[1:-1]


def _is_encodable(record: Record) -> bool:
    try:
        _lines_of([record])
    except (OverflowError, TypeError, ValueError):
        return False
    return True
