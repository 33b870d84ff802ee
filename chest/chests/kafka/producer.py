"""``BatchProducer``: sends batches to a topic, and waits for what became of each message."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from chest.chests.kafka.failures import NO_TOPIC, error_of, no_topic
from chest.chests.kafka.handle import OwnHandle
from chest.chests.kafka.topic import create_topic, topic_error
from chest.chests.kafka.url import KafkaTarget
from chest.system.threads import sleep

_STEP_SECONDS: Final = 0.25
"""After which what the client reported meanwhile is looked at."""
_PURGE_SECONDS: Final = 1.0
"""How long to wait at most for the reports of what was taken back, of the time that the batch has; a quarter of a shorter time."""


Headers: TypeAlias = list[tuple[str, str | bytes | None]]


class KafkaMessage(NamedTuple):
    """A record on its way."""

    key: str
    """Its ``id``."""
    value: bytes
    headers: Headers


class _Reports:
    """What became of the messages of one batch, told to the thread that polls."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.failed: dict[str, KafkaError] = {}

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed[(message.key() or b"").decode()] = error
        # Last: if the client calls this with an exception of its own set, Python may end it at any line before.
        self.left -= 1


class BatchProducer:
    """A producer of this process, for one thread at a time.

    :param target: what the URL says.
    """

    def __init__(self, target: KafkaTarget) -> None:
        self._target = target
        self._handle = OwnHandle(target, Producer, target.producer_configuration())
        self._is_clear = True

    @property
    def is_ours(self) -> bool:
        """False in a process that was forked since: it needs another one."""
        return self._handle.is_ours

    def require_topic(self, deadline: float, *, may_create: bool) -> None:
        """See that a broker answers and has the topic, and make it if the URL says of how many partitions.

        :param deadline: on the monotonic clock.
        :param may_create: False: a missing topic that the URL would have made is no failure.
        :raises ChestUnavailable: no broker answers, or there is no topic.
        """
        is_created = False
        while (error := topic_error(self._handle, self._target, deadline)) is not None:
            if error.code() in NO_TOPIC and not is_created:
                if self._target.partitions is None:
                    raise no_topic(self._target)
                if not may_create:
                    return
                create_topic(self._target, deadline)
                is_created = True
            elif not (is_created or error.retriable()) or time.monotonic() > deadline:
                raise error_of(self._target, [error])
            else:
                sleep(0.05)  # it has no leader yet

    def send(self, messages: Sequence[KafkaMessage], deadline: float) -> dict[str, KafkaError]:
        """Send messages, and wait until each is stored or is not; what was not stored, by its key.

        What is still on its way at the deadline is taken back. Of what a broker has been sent by then it may have stored some.

        :param deadline: on the monotonic clock.
        """
        self._handle.errors.clear()
        producer, reports = self._handle.client, _Reports(len(messages))
        last = deadline - min(_PURGE_SECONDS, max(0.0, deadline - time.monotonic()) / 4)
        sent = 0
        while sent < len(messages):
            message = messages[sent]
            try:
                producer.produce(
                    self._target.topic, message.value, message.key, on_delivery=reports, headers=message.headers
                )
                sent += 1
            except BufferError:  # more than its queue holds
                if time.monotonic() > last:
                    break
                producer.poll(_STEP_SECONDS)
            except KafkaException as refusal:
                reports.left -= 1
                reports.failed[message.key] = refusal.args[0]
                sent += 1
        reports.left -= len(messages) - sent
        with self._noting_what_is_fatal():
            producer.poll(0)  # an error from which the client does not recover may have come before the batch
            while reports.left > 0 and (seconds := last - time.monotonic()) > 0:
                producer.flush(min(_STEP_SECONDS, seconds))
        is_late = reports.left > 0
        if is_late:
            _take_back(producer, deadline)
            self._is_clear = len(producer) == 0
        never_sent = {message.key: KafkaError(KafkaError._TIMED_OUT_QUEUE) for message in messages[sent:]}
        if is_late and reports.left > 0:  # of these nothing will be heard: take all for unknown
            return {message.key: KafkaError(KafkaError._TIMED_OUT) for message in messages}
        return never_sent | reports.failed

    def take_reports(self) -> None:
        """Have what the client reported and logged since it was last polled: it keeps all of that until then. Waits for nothing."""
        with self._noting_what_is_fatal():
            self._handle.client.poll(0)

    @contextmanager
    def _noting_what_is_fatal(self) -> Iterator[None]:
        try:
            yield
        except (KafkaException, SystemError) as failure:  # from which librdkafka says that it cannot recover
            # With its exception set the client may go on to report a message, of which Python makes a SystemError.
            fatal = failure.__cause__ if isinstance(failure, SystemError) else failure
            if not isinstance(fatal, KafkaException):
                raise
            self._handle.errors.append(fatal.args[0])

    @property
    def errors(self) -> list[KafkaError]:
        """The last that the client reported since the begin of the last :meth:`send`."""
        return list(self._handle.errors)

    @property
    def is_usable(self) -> bool:
        """False if something is still on its way, or after an error from which librdkafka says that it cannot recover."""
        return self._is_clear and not any(error.fatal() for error in self.errors)

    def close(self, *, has_time: bool = True) -> None:
        """Take back what is on its way, and end. Waits for nothing.

        :param has_time: False at the end of the process, with which the client ends.
        """
        if self.is_ours:
            with suppress(KafkaException):
                _take_back(self._handle.client, 0.0)
            if has_time:
                self._handle.release()


def _take_back(producer: Producer, deadline: float) -> None:
    """Remove what is on its way, and have the reports of that delivered.

    A broker's thread removes what it has as soon as it can, which is later if it waits for a name server; it sends nothing before.

    :param deadline: on the monotonic clock, for the reports.
    """
    producer.purge(in_queue=True, in_flight=True, blocking=False)
    with suppress(KafkaException, SystemError):
        producer.poll(0)
        while len(producer) and time.monotonic() < deadline:
            producer.poll(0.02)
