"""``StreamTransfer``: takes records from a stream to any chest; several at once share the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Self

from chest.chests.batches import BatchWrite
from chest.chests.contract import Chest, Received, StreamChest
from chest.chests.registry import GivenChests
from chest.errors import SettingsError
from chest.record.record import Record
from chest.transfer.result import TransferResult
from chest.transfer.transfer import BATCH_RECORDS, Change, Reject, tell_refused

__all__ = ["StreamTransfer"]


class StreamTransfer:
    """Takes records from a stream to a target, and tells the stream that they are safe when the target has stored them.

    A run that is killed loses nothing: the stream gives what was not acknowledged again, to this transfer or another of its
    name, on any host. That doubles nothing in a target that knows ``id``; in one that does not, at most the batch in hand. Not for a part of the
    records: what a condition left out would be gone for this transfer.

    Example::

        with StreamTransfer("nats://broker/shop", "clickhouse://db/shop") as transfer:
            print(transfer.run())

    :param source: a stream, or its URL.
    :param target: a chest, or its URL.
    :param map: as of :class:`~chest.transfer.Transfer`.
    :param limit: the most records to take in one run.
    :param batch_records: how many are written at once.
    :param name: transfers of one name share the records, and each name gets all of them; without one it follows from the target.
    :param reject: called with each record that the target will never take, and the reason, before the stream is told that it
        is safe; if it raises, the run fails. Without one, the first of a run is logged, and they are passed over.
    :raises SettingsError: the chests are invalid.
    """

    def __init__(
        self,
        source: str | StreamChest,
        target: str | Chest,
        *,
        map: Change | None = None,  # noqa: A002 - as of Transfer
        limit: int | None = None,
        batch_records: int = BATCH_RECORDS,
        name: str | None = None,
        reject: Reject | None = None,
    ) -> None:
        if batch_records < 1 or (limit is not None and limit < 1):
            raise SettingsError("batch_records and limit are at least 1.")
        self._given = GivenChests()
        stream, self.target = self._given.chest(source), self._given.chest(target)
        if not isinstance(stream, StreamChest):
            raise SettingsError(f"{stream.name} is no stream: use Transfer.")
        if stream.name == self.target.name:
            raise SettingsError(f"{stream.name} is source and target: name another chest as one of them.")
        self.source = stream
        self.name = name or self.target.name
        self._map, self._limit, self._batch_records, self._reject = map, limit, batch_records, reject

    def run(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[TransferResult], object] = lambda _: None,
        dry_run: bool = False,
        wait_seconds: float = 0.0,
    ) -> TransferResult:
        """Transfer records until there are none that another transfer of this name does not have in hand.

        :param stop: asked between batches; True ends the run there.
        :param progress: called after every batch with what was done so far.
        :param dry_run: only count what is to be taken; the target is checked, and nothing is written anywhere.
        :param wait_seconds: how long to wait for a record if there is none.
        :raises ChestUnavailable: the stream or the target failed; what was not acknowledged is given again.
        """
        began, result = time.monotonic(), TransferResult()
        try:
            with closing(self.source.reader(self.name)) as reader:
                if dry_run:
                    self.target.check()
                    result.read = reader.pending()
                    return result
                while not stop() and (room := self._room(result)):
                    received = reader.receive(room, wait_seconds)
                    if not received.records and not received.unreadable:
                        break
                    self._send(received, result)
                    reader.acknowledge(received)
                    result.seconds = time.monotonic() - began
                    progress(result)
                result.is_complete = reader.pending() == 0
        finally:
            self.close()
        result.seconds = time.monotonic() - began
        return result

    def estimate(self) -> int:
        """How many records the next run is to take, unless others of its name do."""
        with closing(self.source.reader(self.name)) as reader:
            return min(reader.pending(), self._limit or 1 << 62)

    def close(self) -> None:
        """Let go of chests that were given as URLs; the next run opens them again."""
        self._given.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<StreamTransfer {self.name!r} from {self.source.name} to {self.target.name}>"

    def _room(self, result: TransferResult) -> int:
        return self._batch_records if self._limit is None else min(self._batch_records, self._limit - result.read)

    def _send(self, received: Received, result: TransferResult) -> None:
        result.read += len(received.records)
        result.unreadable += received.unreadable
        for each in BatchWrite(self._mapped(received.records), lambda record: record.id).results(self.target.write_new):
            if each.refusal is None:
                result.written += len(each.records)
                continue
            for record in each.records:
                tell_refused(record, each.refusal, self.target.name, self._reject, result)

    def _mapped(self, records: Sequence[Record]) -> Sequence[Record]:
        if self._map is None:
            return records
        return [changed for record in records if (changed := self._map(record)) is not None]
