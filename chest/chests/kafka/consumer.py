"""``GroupConsumer``: a member of a consumer group, which takes messages of the partitions that the group gives it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from chest.chests.kafka.failures import NO_TOPIC, error_of, no_topic
from chest.chests.kafka.handle import OwnHandle
from chest.chests.kafka.topic import topic_error
from chest.chests.kafka.url import SESSION_SECONDS, KafkaTarget
from chest.errors import ChestUnavailable
from chest.system.threads import sleep

_STEP_SECONDS: Final = 0.1
_MORE_SECONDS: Final = 0.05
"""How long a batch that has begun waits for more."""
_BATCH_SECONDS: Final = 1.0
"""How long a batch may take to be filled."""
_JOIN_SECONDS: Final = 2 * SESSION_SECONDS
"""How long the group may take for its partitions: it waits for a member that was killed."""
_COMMIT_STEP_SECONDS: Final = 0.002
_PASSED_OVER: Final = frozenset((KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN))
"""After these the consumer goes on by itself."""


class GroupConsumer:
    """A consumer of this process, for one thread at a time.

    :param target: what the URL says.
    :param group: the group's id.
    :raises ChestUnavailable: no broker answers, or there is no topic.
    """

    def __init__(self, target: KafkaTarget, group: str) -> None:
        self._target, self._group = target, group
        commits: list[tuple[KafkaError | None, Sequence[TopicPartition]]] = []
        self._commits = commits
        """What became of a commit."""
        self._ahead: list[Message] = []
        """What came while a commit was waited for."""
        told = {"on_commit": lambda *result: commits.append(result)}
        self._handle = OwnHandle(target, Consumer, target.consumer_configuration(group) | told)
        self._assigned: set[int] | None = None
        """The partitions that the group gave; None: it has not spoken yet."""
        self._ended: set[int] = set()
        """Of them those whose end was reached."""
        self._is_member = False

    @property
    def is_ours(self) -> bool:
        """False in a process that was forked since."""
        return self._handle.is_ours

    def take(self, limit: int, wait_seconds: float) -> list[Message]:
        """The next messages, at most ``limit``; none if the ends of all partitions were reached.

        :param wait_seconds: how long to wait for the first one at these ends.
        :raises ChestUnavailable: not now; what was taken before may be given again.
        """
        self._join()
        begin = time.monotonic()
        taken: list[Message] = []
        while len(taken) < limit:
            step = _MORE_SECONDS if taken else _STEP_SECONDS
            found, self._ahead = self._ahead[: limit - len(taken)], self._ahead[limit - len(taken) :]
            found = found or self._messages(self._handle.client.consume(limit - len(taken), step))
            taken += found
            waited = time.monotonic() - begin
            if taken and (not found or waited > _BATCH_SECONDS):
                break
            if not found and self._is_at_end and waited >= wait_seconds:
                break
            if not taken and not self._is_at_end and waited > _JOIN_SECONDS:
                raise ChestUnavailable(
                    f"{self._target.name}: the group {self._group} gave no records within {_JOIN_SECONDS:g} s: check the"
                    " brokers, and its other members."
                )
        return taken

    def commit(self, offsets: dict[int, int]) -> None:
        """Note for the group that all before these offsets is safe.

        :param offsets: of each partition the next one to take.
        :raises ChestUnavailable: it is not noted, or the partition is another member's by now.
        """
        if not offsets.keys() <= (self._assigned or set()):
            raise ChestUnavailable(
                f"{self._target.name}: another reader has taken over what was read, and is given it again."
            )
        places = [TopicPartition(self._target.topic, partition, offset) for partition, offset in offsets.items()]
        deadline = time.monotonic() + self._target.timeout_seconds
        self._commits.clear()
        try:
            self._handle.client.commit(offsets=places, asynchronous=True)
            while not self._commits:
                if time.monotonic() > deadline:
                    raise error_of(self._target, list(self._handle.errors))
                message = self._handle.client.poll(
                    _COMMIT_STEP_SECONDS
                )  # not without end, as a commit that waits itself
                if message is not None:
                    self._ahead += self._messages([message])
                    sleep(_COMMIT_STEP_SECONDS)  # what became of the commit comes before other messages
        except KafkaException as failure:
            raise error_of(self._target, [*self._handle.errors, failure.args[0]]) from None
        error, committed = self._commits[0]
        errors = [each for each in (error, *(place.error for place in committed)) if each is not None]
        if errors:
            raise error_of(self._target, errors)

    def pending(self) -> int:
        """How many messages of the topic the group has not noted as safe.

        :raises ChestUnavailable: not now.
        """
        client, deadline = self._handle.client, time.monotonic() + self._target.timeout_seconds

        def seconds() -> float:
            return max(0.01, deadline - time.monotonic())

        try:
            known = client.list_topics(self._target.topic, seconds()).topics[self._target.topic]
            if known.error is not None:
                raise (
                    no_topic(self._target) if known.error.code() in NO_TOPIC else error_of(self._target, [known.error])
                )
            places = [TopicPartition(self._target.topic, partition) for partition in known.partitions]
            left = 0
            for place in client.committed(places, seconds()):
                first, end = client.get_watermark_offsets(place, seconds(), cached=False)
                left += max(0, end - max(first, place.offset))
        except KafkaException as failure:
            raise error_of(self._target, [*self._handle.errors, failure.args[0]]) from None
        return left

    def close(self) -> None:
        """Leave the group, and end; does not wait longer than for any answer. Does not raise."""
        self._handle.release(Consumer.close).wait(self._target.timeout_seconds)

    @property
    def _is_at_end(self) -> bool:
        return self._assigned is not None and self._assigned <= self._ended

    def _join(self) -> None:
        if self._is_member:
            return
        error = topic_error(self._handle, self._target, time.monotonic() + self._target.timeout_seconds)
        if error is not None:
            raise no_topic(self._target) if error.code() in NO_TOPIC else error_of(self._target, [error])
        self._handle.client.subscribe(
            [self._target.topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )
        self._is_member = True

    def _assign(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._assigned, self._ended = {each.partition for each in partitions}, set()

    def _revoke(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._assigned, self._ended, self._ahead = None, set(), []

    def _messages(self, found: Sequence[Message]) -> list[Message]:
        """Those that are messages; what else the consumer has to say is noted."""
        messages = []
        for message in found:
            error, partition = message.error(), message.partition()
            if error is None:
                messages.append(message)
                self._ended.discard(partition or 0)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended.add(partition or 0)
            elif error.code() not in _PASSED_OVER and not messages:
                raise error_of(self._target, [error])
        return messages
