"""``MockCluster``: several brokers of librdkafka's own tests, in this process, which fail as they are told."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from tests.servers.kafka import Topics

PRODUCE: Final = 0
"""The number of a request of Kafka's protocol."""
OFFSET_COMMIT: Final = 8
INIT_PRODUCER_ID: Final = 22


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
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
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

    def delay(self, broker: int, milliseconds: int) -> None:
        """Have the broker answer so much later."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)

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
