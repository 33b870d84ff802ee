"""The servers of the tests: each starts once, when the first test asks for it, and ends with the run."""

from __future__ import annotations

import gc
import inspect
import os
import shutil
import signal
import ssl
import sys
import tempfile
from collections.abc import Iterator
from functools import partialmethod
from typing import TYPE_CHECKING

import hypothesis
import pytest
from click.testing import CliRunner

from tests.plugins import native_build

native_build.load_build()  # before Chest is imported

from tests.plugins import alone, implementations, kinds, leaks, left_out  # noqa: E402
from tests.servers.clickhouse import ClickHouse  # noqa: E402
from tests.servers.database import DatabaseServer  # noqa: E402
from tests.servers.kafka import Broker  # noqa: E402
from tests.servers.nats import Nats  # noqa: E402
from tests.servers.process import Server  # noqa: E402
from tests.support import examples  # noqa: E402

if TYPE_CHECKING:
    from tests.servers.otlp import Collector  # with protobuf behind it

_home: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """A run in the background is started with SIGINT ignored, and so would be all that the tests start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for plugin in (alone, kinds, leaks, implementations, left_out, native_build):
        config.pluginmanager.register(plugin)
    # A busy machine, or one that counts lines, is no fault of a test's.
    hypothesis.settings.register_profile(
        "chest", deadline=None, max_examples=examples(100), suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("chest")
    # Each connection of PyMySQL's reads the system's certificates, which takes longer than to connect; no server of a test has one of them.
    ssl.SSLContext.load_default_certs = lambda *_: None  # type: ignore[method-assign]
    if "mix_stderr" in inspect.signature(CliRunner).parameters:  # click before 8.2; since then nothing is mixed
        CliRunner.__init__ = partialmethod(CliRunner.__init__, mix_stderr=False)  # type: ignore[assignment,method-assign]
    os.environ.pop("COLUMNS", None)  # of pytest-xdist's workers, as if they had a terminal
    # What a test leaves where a user's files are goes with the run, also what a process leaves that a test starts.
    _home.append(tempfile.mkdtemp(prefix="chest-tests-home-"))
    os.environ["HOME"] = _home[0]
    for name in [name for name in os.environ if name.startswith("XDG_") and name.endswith("_HOME")]:
        del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Let the garbage collector pass over what is there for the whole run: it would look at 10,000 tests each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        if sys.implementation.name == "cpython":  # PyPy has a collector of another kind
            gc.freeze()


def pytest_unconfigure() -> None:
    """Remove the home of this run."""
    while _home:
        shutil.rmtree(_home.pop(), ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    """PostgreSQL; ``postgresql.new_url()`` is the chest URL of an empty database."""
    from tests.servers.postgresql import postgresql

    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """MariaDB; ``mariadb.new_url()`` is the chest URL of an empty database."""
    from tests.servers.mariadb import mariadb

    with mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def mysql57() -> Iterator[DatabaseServer]:
    """Oracle's MySQL 5.7; ``mysql57.new_url()`` is the chest URL of an empty database."""
    from tests.servers.mysql57 import mysql57

    with mysql57() as server:
        yield server


@pytest.fixture(scope="session")
def mongodb() -> Iterator[Server]:
    """MongoDB, of one member that is no replica set; take a database of your own on ``mongodb.port``."""
    from tests.servers.mongodb import mongodb

    with mongodb() as server:
        yield server


@pytest.fixture(scope="session")
def mongodb_replica_set() -> Iterator[Server]:
    """MongoDB, as the only member of the replica set ``rs0``."""
    from tests.servers.mongodb import mongodb

    with mongodb(replica_set="rs0") as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouse]:
    """ClickHouse's engine; ``clickhouse.new_url()`` is the chest URL of an empty database."""
    from tests.servers.clickhouse import clickhouse

    with clickhouse() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A broker that speaks Kafka's protocol; ``kafka.new_url()`` is the chest URL of a topic that is not there."""
    from tests.servers.kafka import kafka

    with kafka() as server:
        yield server


@pytest.fixture(scope="session")
def nats() -> Iterator[Nats]:
    """NATS with JetStream; ``nats.new_url()`` is the chest URL of a stream that is not there."""
    from tests.servers.nats import nats

    with nats() as server:
        yield server


@pytest.fixture(scope="session")
def rotel() -> Iterator[Collector]:
    """A collector of OpenTelemetry's data; what is sent to it arrives in ``rotel.sink``."""
    from tests.servers.otlp import rotel

    with rotel() as collector:
        yield collector


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[Server]:
    """VictoriaMetrics; everything that is written to it stands in one place."""
    from tests.servers.victoria_metrics import victoria_metrics

    with victoria_metrics() as server:
        yield server


@pytest.fixture(scope="session")
def influxdb() -> Iterator[Server]:
    """InfluxDB 1.6, the engine without version 2 of its interface; make a database of your own."""
    from tests.servers.influxdb import influxdb

    with influxdb() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Server]:
    """Redis, with a database that tests share."""
    from tests.servers.redis import redis

    with redis() as server:
        yield server
