"""Kafka's protocol: noida-db's broker as a process, and the cluster that librdkafka brings for its own tests.

Apache's broker is to be had neither from PyPI nor from Debian. noida-db 0.2.3 keeps topics on disk and in memory, knows groups,
idempotent producers and a topic's settings; it has neither log-ins nor TLS. librdkafka's mock cluster has several brokers in this
process, which fail as they are told.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import json
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from chest.record.record import Record
from tests.servers.fault_proxy import FaultProxy
from tests.servers.process import HOST, Server, needs, private_directory, running

PRODUCE: Final = 0
"""The number of a request of Kafka's protocol."""
OFFSET_COMMIT: Final = 8
INIT_PRODUCER_ID: Final = 22

_READ_SECONDS: Final = 60.0


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

    def messages(self, topic: str) -> list[Any]:
        """All that the topic holds, as messages of confluent-kafka."""
        from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

        settings = {
            "bootstrap.servers": self.brokers,
            "group.id": "tests",
            "enable.partition.eof": True,
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
    needs("noida_db")
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


class KafkaProxy(FaultProxy):
    """A proxy in front of a broker, which names itself where the broker tells its own address: else clients would go around it."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        ours, theirs = ((HOST.encode() + struct.pack(">i", each)) for each in (self.port, port))
        self.change_answer = lambda answer: answer.replace(theirs, ours)


class MockCluster(Topics):
    """librdkafka's mock cluster: several brokers of this process.

    :param brokers: how many; their numbers begin at 1.
    """

    def __init__(self, brokers: int) -> None:
        import confluent_kafka  # noqa: F401 - loads the library

        self._library = ctypes.CDLL(_path_of_library())
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        said = ctypes.create_string_buffer(512)
        settings = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", said, len(said))
        self._handle = ctypes.c_void_p(self._library.rd_kafka_new(0, settings, said, len(said)))
        assert self._handle.value, said.value
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._handle, brokers))
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        super().__init__(bootstraps.decode())

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these error codes, one each."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors
        )

    def heal(self) -> None:
        """Answer as usual again."""
        for request in (PRODUCE, OFFSET_COMMIT, INIT_PRODUCER_ID):
            self._library.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(request))

    def create(self, partitions: int, leader: int | None = None) -> str:
        """A new topic, and its name.

        :param leader: the broker that has partition 0; the others are spread.
        """
        topic = self.new_topic()
        self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        if leader is not None:
            for partition in range(partitions):
                self.lead(topic, partition, (leader if partition == 0 else leader % 3 + 1))
        return topic

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Have this broker lead the partition."""
        self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker)

    def stop(self, broker: int) -> None:
        """Have the broker refuse connections, and cut those it has."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def start(self, broker: int) -> None:
        """Have it take connections again."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


@contextmanager
def mock_cluster(brokers: int = 3) -> Iterator[MockCluster]:
    """A mock cluster for the block."""
    with closing(MockCluster(brokers)) as cluster:
        yield cluster


def _path_of_library() -> str:
    """Of the librdkafka that the package brings: other releases of it have another name."""
    with open("/proc/self/maps") as mappings:
        return next(line.split()[-1] for line in mappings if "librdkafka" in line)
