"""The servers of the tests: each starts once, when the first test asks for it, and ends with the run."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.servers.database import DatabaseServer
from tests.servers.process import Server


def pytest_configure() -> None:
    """A run in the background is started with SIGINT ignored, and so would be all that the tests start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
