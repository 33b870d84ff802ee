"""``KafkaReader``: takes records from a topic, and commits their offsets when they are safe."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from confluent_kafka import Message

from chest.chests.contract import Received, StreamReader
from chest.chests.kafka.consumer import GroupConsumer
from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable
from chest.record.decoding import record_of_json
from chest.record.record import Record

__all__ = ["Consumers", "KafkaReader"]

_logger: Final = logging.getLogger("chest.chests.kafka")


class _Receipt:
    """Of each partition, which offsets were given."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.behind: dict[int, int] = {}
        """The one after the last."""
        self.is_acknowledged = False


class Consumers:
    """Consumers that stay in their groups while no reader uses them: to leave and join again has the whole group wait."""

    def __init__(self) -> None:
        self._idle: list[tuple[str, GroupConsumer]] = []

    def take(self, target: KafkaTarget, group: str) -> GroupConsumer:
        """One of this process, and of the group."""
        for idle in self._idle.copy():
            name, consumer = idle
            if name == group and consumer.is_ours:
                with suppress(ValueError):  # another thread has it
                    self._idle.remove(idle)
                    return consumer
        return GroupConsumer(target, group)

    def give_back(self, group: str, consumer: GroupConsumer) -> None:
        """For the next reader of the group."""
        self._idle.append((group, consumer))

    def close(self) -> None:
        """Have all that are idle leave their groups; those of a parent process stay untouched."""
        with suppress(IndexError):
            while True:
                _, consumer = self._idle.pop()
                consumer.close()


class KafkaReader(StreamReader):
    """See :class:`~chest.chests.contract.StreamReader`. What was given is given again to the next reader unless it is acknowledged.

    :param target: where the topic is.
    :param name: of this and the topic the group's id is made, unless the URL has one; characters that are odd in it are
        replaced, and a hash tells such names apart.
    :param consumers: those of the chest.
    """

    def __init__(self, target: KafkaTarget, name: str, consumers: Consumers) -> None:
        self._target, self._consumers = target, consumers
        self._group = target.group or _group_of(f"{target.topic} {name}")
        self._consumer: GroupConsumer | None = None
        self._held: list[_Receipt] = []
        """What was given and is not acknowledged."""
        self._safe: dict[int, int] = {}
        """Of each partition the offset behind the last one that was acknowledged."""

    def receive(self, limit: int, wait_seconds: float = 0.0) -> Received:
        try:
            return self._received(self._opened().take(limit, wait_seconds))
        except BaseException:
            self._leave()
            raise

    def acknowledge(self, received: Received) -> None:
        receipt: _Receipt | None = received.receipt
        if receipt is None or receipt.is_acknowledged:
            return
        if receipt not in self._held:
            raise ChestUnavailable(
                f"{self._target.name}: this reader left its group, which is given what was read again."
            )
        self._held.remove(receipt)
        offsets = {}
        for partition, behind in receipt.behind.items():
            self._safe[partition] = max(behind, self._safe.get(partition, 0))
            held = [each.first[partition] for each in self._held if partition in each.first]
            offsets[partition] = min([*held, self._safe[partition]])
        try:
            self._opened().commit(offsets)
        except BaseException:
            self._leave()
            raise
        receipt.is_acknowledged = True

    def pending(self) -> int:
        try:
            return self._opened().pending()
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        if self._held:
            self._leave()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._consumers.give_back(self._group, consumer)

    def _opened(self) -> GroupConsumer:
        if self._consumer is None or not self._consumer.is_ours:
            self._consumer = self._consumers.take(self._target, self._group)
            self._held, self._safe = [], {}
        return self._consumer

    def _leave(self) -> None:
        """The group gives what is not acknowledged again."""
        consumer, self._consumer = self._consumer, None
        self._held, self._safe = [], {}
        if consumer is not None:
            with suppress(Exception):
                consumer.close()

    def _received(self, messages: Sequence[Message]) -> Received:
        records: list[Record] = []
        unreadable: list[str] = []
        receipt = _Receipt()
        for message in messages:
            partition, offset = message.partition() or 0, message.offset() or 0
            receipt.first.setdefault(partition, offset)
            receipt.behind[partition] = offset + 1
            record = record_of_json(message.value() or b"")
            if record is None:
                unreadable.append(f"{offset} of partition {partition}")
            else:
                records.append(record)
        if unreadable:
            _logger.error(
                "chest: %s: %d messages are no records of Chest, and are passed over; the first is %s",
                self._target.name,
                len(unreadable),
                unreadable[0],
            )
        if not messages:
            return Received([])
        self._held.append(receipt)
        return Received(records, len(unreadable), receipt)


def _group_of(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_")[:60]
    return f"{plain}-{blake2b(name.encode(), digest_size=4).hexdigest()}"
