"""``KafkaChest``: one message a record, in a topic of Kafka."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import ClassVar, Final

from chest.chests.contract import StreamChest
from chest.chests.kafka.failures import OF_A_RECORD, OF_ITS_SIZE, error_of
from chest.chests.kafka.producer import BatchProducer, Headers, KafkaMessage
from chest.chests.kafka.reader import Consumers, KafkaReader
from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.decoding import json_of_record
from chest.record.messages import one_line
from chest.record.record import VERSION, Record, record_key
from chest.system.fork_guard import process_generation
from chest.system.threads import Lock, new_lock

__all__ = ["KafkaChest"]

_MOST_REMEMBERED: Final = 20_000
"""Records that are stored although their batch failed: some batches of 1,000."""
_OVERHEAD_BYTES: Final = 150
"""Of a message beside its key, its value and the name of its service, at most."""
_HOPELESS_AFTER: Final = 30
"""Records refused one by one for what they hold, and none taken: the topic refuses everything, and the others need not be tried."""
_HEADERS: Final[Headers] = [("content-type", "application/json"), ("version", str(VERSION))]


class KafkaChest(StreamChest):
    """Sends each record as a message to a topic of Kafka, or of what speaks its protocol, for programs that read it there.

    The key is the record's ``id``, the value one line of JSON: its fields and ``version``. A batch is written when all replicas
    in sync have each of its records (``acks=all``). What comes again after a lost connection is stored once as long as the
    process and its producer live (``enable.idempotence``). What comes again after that is a second message with
    the same key: readers tell it by that.

    If some partitions take their records and others do not, this process sends only the others with the next try.

    The producer is made by the first write in the process that writes, never before a fork. A missing topic is not made, unless
    the URL says of how many partitions.

    :param url: ``kafka://host1:9092,host2:9092/topic``, or ``kafka+ssl://user:password@host:9092/topic``; after a ``?``:
        ``partitions=6`` makes a missing topic, with ``replication=3`` copies; ``compression=zstd``, ``lz4``, ``gzip``, ``snappy`` or
        ``none``; ``message_max_bytes=1000000`` is the longest record; ``sasl=SCRAM-SHA-512``, ``SCRAM-SHA-256`` or ``PLAIN``;
        ``ca_file=/path`` for certificates to trust, ``cert_file=`` and ``key_file=`` for one's own; ``timeout_seconds=10`` for one batch.
    :raises SettingsError: invalid chest URL.
    """

    is_idempotent: ClassVar[bool] = False
    is_write_checked: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._target = KafkaTarget.of(url)
        self.name = self._target.name
        self._producers: dict[int, BatchProducer] = {}
        self._locks: dict[int, Lock] = {}
        self._has_time = True
        self._consumers = Consumers()
        self._stored_apart: dict[str, None] = {}
        # Threads of a producer that is collected open would go on; at the interpreter's exit nothing of this matters.
        weakref.finalize(self, _close_own, self._producers, self._consumers).atexit = False

    def open(self) -> None:
        deadline = self._deadline()
        with self._alone(deadline):
            self._producer(deadline)

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says, but that some may be stored when others are not: this process does not send those again."""
        if not records:
            return
        deadline = self._deadline()
        with self._alone(deadline):
            missing = [record for record in records if record_key(record) not in self._stored_apart]
            if missing:
                self._send(missing, deadline)
            for record in records:
                self._stored_apart.pop(record_key(record), None)

    def check(self) -> None:
        """Ask a broker for the topic: it is reachable, knows the log-in, and has the topic or it would be made."""
        producer = BatchProducer(self._target)
        try:
            producer.require_topic(self._deadline(), may_create=False)
        finally:
            producer.close()

    def tend(self) -> None:
        """While all brokers are down, an idle producer has two reports a second, and keeps them until it is asked."""
        lock = self._locks.get(process_generation())
        if lock is None or not lock.acquire(blocking=False):
            return  # it is being written, which asks as well
        try:
            producer = self._producers.get(process_generation())
            if producer is not None:
                producer.take_reports()
                if not producer.is_usable:
                    self._end_producer()
        finally:
            lock.release()

    def wait_at_most(self, seconds: float) -> bool:
        self._target = self._target._replace(timeout_seconds=min(self._target.timeout_seconds, seconds))
        self._has_time = False
        return True

    def close(self) -> None:
        with self._alone(self._deadline()):
            self._end_producer()
        self._consumers.close()

    def reader(self, name: str) -> KafkaReader:
        return KafkaReader(self._target, name, self._consumers)

    def _end_producer(self) -> None:
        producer = self._producers.pop(process_generation(), None)
        if producer is not None:
            producer.close(has_time=self._has_time)

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """No other thread writes during the block: a batch that fails ends the producer with all that is on its way.

        :raises ChestUnavailable: another one writes until the deadline.
        """
        lock = self._locks.setdefault(process_generation(), new_lock())  # a parent's thread may hold another one
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise ChestUnavailable(
                f"{self.name}: another thread writes for {self._target.timeout_seconds:g} s: check the brokers."
            )
        try:
            yield
        finally:
            lock.release()

    def _deadline(self) -> float:
        return time.monotonic() + self._target.timeout_seconds

    def _producer(self, deadline: float) -> BatchProducer:
        """The one of this process, which has found the topic."""
        generation = process_generation()
        producer = self._producers.get(generation)
        if producer is None:
            producer = BatchProducer(self._target)
            try:
                producer.require_topic(deadline, may_create=True)
            except BaseException:
                producer.close(has_time=self._has_time)
                raise
            self._producers[generation] = producer
        return producer

    def _send(self, records: Sequence[Record], deadline: float) -> None:
        messages = self._messages(records)
        producer = self._producer(deadline)
        try:
            failed = producer.send(messages, deadline)
            if failed:
                self._remember([record for record in records if record.id not in failed])
                if any(error.code() not in OF_A_RECORD for error in failed.values()):
                    raise error_of(self._target, [*producer.errors, *failed.values()])
                pieces = [pair for pair in zip(records, messages, strict=True) if pair[0].id in failed]
                self._send_apart(producer, pieces, deadline, has_stored=len(pieces) < len(records))
        except RecordRejected:
            raise
        except BaseException:
            # It ends with what it could not send, so that nothing is sent later, when the batch has come again.
            self._end_producer()
            raise
        finally:
            if not producer.is_usable:
                self._end_producer()

    def _send_apart(
        self,
        producer: BatchProducer,
        pieces: Sequence[tuple[Record, KafkaMessage]],
        deadline: float,
        *,
        has_stored: bool,
    ) -> None:
        """Send one by one what a broker refused together: it says of a whole batch what may be one record's fault.

        :param has_stored: True if it took others of the same batch.
        :raises RecordRejected: it refuses these records, and has the others or gets them with the next try.
        :raises ChestUnavailable: it took none, and not for their size, so the fault is not a record's.
        """
        too_long: dict[str, str] = {}
        odd: dict[str, str] = {}
        failure = None
        for record, message in pieces:
            error = producer.send([message], deadline).get(record.id)
            if error is None:
                has_stored = True
                self._remember([record])
                continue
            if error.code() not in OF_A_RECORD:
                failure = error_of(self._target, [*producer.errors, error])
                break
            reasons = too_long if error.code() in OF_ITS_SIZE else odd
            reasons[record.id] = one_line(self._target.without_secrets(error.str()))
            if not has_stored and len(odd) == _HOPELESS_AFTER:
                break
        refused = too_long | odd if has_stored or len(pieces) == 1 else too_long
        if refused:
            raise RecordRejected(f"{self.name} refused a record: {[*refused.values()][-1]}", [*refused])
        if failure is not None:
            raise failure
        if odd:
            said = [*odd.values()][-1]
            raise ChestUnavailable(f"{self.name} refuses every record, so the fault is the topic's: {said}")

    def _remember(self, stored: Sequence[Record]) -> None:
        """That these are stored, until their batch has come again."""
        self._stored_apart.update(dict.fromkeys(map(record_key, stored)))
        while len(self._stored_apart) > _MOST_REMEMBERED:
            del self._stored_apart[next(iter(self._stored_apart))]

    def _messages(self, records: Sequence[Record]) -> list[KafkaMessage]:
        """The records as messages.

        :raises RecordRejected: some are no JSON, or too long; nothing was sent.
        """
        messages, refused, reason = [], [], ""
        headers: dict[str, Headers] = {}
        for record in records:
            try:
                value = json_of_record(record)
            except (TypeError, ValueError, OverflowError):
                refused.append(record.id)
                reason = "it is not JSON"
                continue
            if record.service not in headers:
                headers[record.service] = [*_HEADERS, ("service", record.service)]
            length = len(value) + len(record.id) + len(record.service.encode()) + _OVERHEAD_BYTES
            if length > self._target.message_max_bytes:
                refused.append(record.id)
                reason = (
                    f"it has {length:,} bytes, and ?message_max_bytes= allows {self._target.message_max_bytes:,}: raise it"
                    " there and in the topic (max.message.bytes)"
                )
                continue
            messages.append(KafkaMessage(record.id, value, headers[record.service]))
        if refused:
            raise RecordRejected(f"{self.name} cannot take a record: {reason}.", refused)
        return messages


def _close_own(producers: dict[int, BatchProducer], consumers: Consumers) -> None:
    """Close what this process made: never what came through a fork."""
    for producer in producers.values():
        with suppress(Exception):
            if producer.is_ours:
                producer.close()
    with suppress(Exception):
        consumers.close()
