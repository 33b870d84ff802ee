"""Ends of a process that gets no thread from the system: within their time, whatever the store does, and nothing is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest, sqlite_url
from chest.recorder.directory_recovery import recover_directory
from tests.processes import run_python
from tests.recording_server import recording_server
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, fault_proxy
from tests.servers.process import HOST, Server

LONGEST_SECONDS = 6.0
"""Twice ``shutdown_seconds``, on a machine that has much to do: less than two stores one after the other, or the time-out of one."""

_ENDING = """
    import os, sys, threading, time
    from pathlib import Path
    from tests.kill.shop import Shop

    threading.stack_size(1 << 47)  # more than any process can have: the system refuses the thread
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        pass
    else:
        sys.exit("a thread was started")
    shop = Shop(Path(sys.argv[1]), *sys.argv[2:])
    shop.ask(100)
    assert shop.recorder.stats()["delivery_start_failed"], shop.recorder.stats()
    began = time.monotonic()
    is_delivered = shop.recorder.close()
    print(bool(is_delivered), time.monotonic() - began)
"""

Outage = contextlib.AbstractContextManager[None]
Store = tuple[str, Callable[[], Outage]]
"""The URL of a store, and what makes it silent for a block."""


@contextlib.contextmanager
def silent(port: int, url: Callable[[int], str]) -> Iterator[Store]:
    """A store behind a proxy that swallows everything while the outage lasts."""
    with fault_proxy(port) as proxy:

        @contextlib.contextmanager
        def outage() -> Iterator[None]:
            proxy.set(Fault.BLACKHOLE)
            yield
            proxy.heal()

        yield url(proxy.port), outage


@pytest.fixture
def postgresql_store(postgresql: DatabaseServer) -> Iterator[Store]:
    with silent(postgresql.port, lambda port: postgresql.url(postgresql.new_database(), port=port)) as store:
        yield store


@pytest.fixture
def mariadb_store(mariadb: DatabaseServer) -> Iterator[Store]:
    with silent(mariadb.port, lambda port: mariadb.url(mariadb.new_database(), port=port)) as store:
        yield store


@pytest.fixture
def mongodb_store(mongodb: Server, tmp_path: Path) -> Iterator[Store]:
    with silent(mongodb.port, lambda port: f"mongodb://{HOST}:{port}/{tmp_path.name}") as store:
        yield store


@pytest.fixture
def http_store() -> Iterator[Store]:
    with recording_server() as server, silent(server.port, lambda port: f"http://{HOST}:{port}/records") as store:
        yield store


@pytest.fixture
def influxdb_store() -> Iterator[Store]:
    with (
        recording_server() as server,
        silent(server.port, lambda port: f"influxdb://{HOST}:{port}/org/bucket?token=t") as store,
    ):
        yield store


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Store:
    path = tmp_path / "store.sqlite3"
    url = f"{sqlite_url(path)}?busy_timeout_ms=30000"

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locker:
            locker.execute("BEGIN EXCLUSIVE")
            yield

    return url, locked


STORES = ["postgresql", "mariadb", "mongodb", "http", "influxdb", "sqlite"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue(f"{request.param}_store")
    chest = open_chest(store[0])
    chest.open()
    chest.close()
    return store


def test_if_no_thread_can_be_had_and_the_store_is_silent_the_end_takes_its_time_and_the_next_start_delivers(
    store: Store, tmp_path: Path
) -> None:
    url, outage = store
    rings = tmp_path / "rings"
    with outage():
        is_delivered, seconds = run_python(_ENDING, rings, url).split()
    assert is_delivered == "False"
    assert float(seconds) < LONGEST_SECONDS
    require_left_is_delivered(rings, url)


def require_left_is_delivered(rings: Path, url: str) -> None:
    chest = open_chest(url)
    recovered = recover_directory(rings, [chest])
    assert (recovered.records, recovered.left) == (100, 0)
    if isinstance(chest, ReadableChest):
        assert sorted(stored.record.request_id for stored in chest.read()) == sorted(f"r{n}" for n in range(100))
    chest.close()


@pytest.mark.parametrize("count", [2, 3])
def test_several_silent_stores_take_no_longer_than_one(
    count: int, postgresql: DatabaseServer, mariadb: DatabaseServer, tmp_path: Path
) -> None:
    rings = tmp_path / "rings"
    with fault_proxy(postgresql.port) as proxy, fault_proxy(mariadb.port) as other:
        urls = [mariadb.url(mariadb.new_database(), port=other.port)]
        urls += [postgresql.url(postgresql.new_database(), port=proxy.port) for _ in range(count - 1)]
        for each in (proxy, other):
            each.set(Fault.BLACKHOLE)
        _, seconds = run_python(_ENDING, rings, *urls).split()
        assert float(seconds) < LONGEST_SECONDS
        for each in (proxy, other):
            each.heal()
        chests = [open_chest(url) for url in urls]
        recover_directory(rings, chests)
        for chest in chests:
            assert isinstance(chest, ReadableChest)
            assert len(chest.read()) == 100
            chest.close()


@pytest.mark.parametrize("name", ["postgresql", "mariadb", "http", "influxdb", "sqlite"])
def test_if_no_thread_can_be_had_and_the_store_answers_everything_is_delivered_at_the_end(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Not MongoDB, whose driver needs threads of its own: its records come with the next start."""
    url, _ = request.getfixturevalue(f"{name}_store")
    is_delivered, _ = run_python(_ENDING, tmp_path / "rings", url).split()
    assert is_delivered == "True"
    assert list((tmp_path / "rings").glob("*.ring")) == []
    chest = open_chest(url)
    if isinstance(chest, ReadableChest):
        assert len(chest.read()) == 100
    chest.close()


@pytest.mark.alone
def test_a_process_ends_in_time_that_exits_without_closing(postgresql_store: Store, tmp_path: Path) -> None:
    url, outage = postgresql_store
    code = _ENDING[: _ENDING.index("is_delivered")] + "print(time.time(), flush=True)\n"
    with outage():
        began = float(run_python(code, tmp_path / "rings", url))
        assert (
            time.time() - began < LONGEST_SECONDS + 3
        )  # the last for the interpreter's own end; the store would take ten
    require_left_is_delivered(tmp_path / "rings", url)
