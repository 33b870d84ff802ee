"""Stores that fail, each a real one: requests go on as before, and when the store is back everything is in it once."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest, sqlite_url
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from tests.kill.shop import Shop
from tests.processes import run_python
from tests.servers.database import PASSWORD, USER, DatabaseServer
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers.process import HOST
from tests.support import wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in earnest takes tenths of them here."""
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_AFTER_SECONDS", 0.5)
    monkeypatch.setattr("chest.delivery.spool_policy.SPOOL_SOON_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.own_ring.ADOPT_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("chest.delivery.backoff.LONGEST_WAIT_SECONDS", 0.5)


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(*chests: Any, directory: Path = tmp_path / "rings", **options: Any) -> Shop:
        made.append(Shop(directory, *chests, **options))
        return made[-1]

    yield make
    for shop in made:
        shop.recorder.close(1)


class Database:
    """An empty database of PostgreSQL, its URL through a proxy, and what is in it."""

    def __init__(self, server: DatabaseServer, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.name = server.new_database()
        self.url = server.url(self.name, port=proxy.port, query="timeout_seconds=1")

    def execute(self, statement: str) -> list[Any]:
        """Run a statement, not through the proxy."""
        address = {"host": HOST, "port": self.server.port, "user": USER, "password": PASSWORD, "dbname": self.name}
        with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def request_ids(self) -> list[str]:
        """Of every row."""
        try:
            return [row[0] for row in self.execute("SELECT request_id FROM chest_records")]
        except psycopg.errors.UndefinedTable:
            return []


@pytest.fixture
def database(postgresql: DatabaseServer) -> Iterator[Database]:
    with fault_proxy(postgresql.port) as proxy:
        yield Database(postgresql, proxy)


def wait_until_all_arrived(shop: Shop, request_ids: Callable[[], list[str]], seconds: float = 30) -> None:
    wait_until(lambda: len(set(request_ids())) == len(shop.asked), seconds)
    found = request_ids()
    assert sorted(found) == sorted(shop.asked)
    assert "dropped" not in shop.recorder.stats()


# -- over the network --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET, Fault.BLACKHOLE])
def test_a_store_that_is_away_for_long_gets_everything_once_when_it_is_back(
    make_shop: Callable[..., Shop], database: Database, fault: Fault
) -> None:
    shop = make_shop(database.url)
    shop.ask(100)
    wait_until_all_arrived(shop, database.request_ids)
    database.proxy.set(fault)
    database.proxy.set(Fault.RESET) if fault is Fault.REFUSE else None  # what is connected now is to be gone, too
    shop.ask(4000, pause=0.0002)
    wait_until(lambda: shop.spooled() > 0)
    shop.ask(1000, pause=0.0002)
    assert shop.recorder.stats()["ring"]["capacity_bytes"] == 1 << 20
    database.proxy.heal()
    shop.ask(100)
    wait_until_all_arrived(shop, database.request_ids)


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.CUT_BEFORE])
def test_a_connection_that_is_cut_at_the_commit_doubles_and_loses_nothing(
    make_shop: Callable[..., Shop], database: Database, fault: Fault
) -> None:
    shop = make_shop(database.url)
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    for _ in range(3):
        cuts = database.proxy.cuts
        database.proxy.set(fault, b"COMMIT")
        shop.ask(50)
        wait_until(lambda cuts=cuts: database.proxy.cuts > cuts)  # type: ignore[misc]
        wait_until_all_arrived(shop, database.request_ids)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_store_that_takes_one_write_a_second_keeps_no_request_waiting_and_gets_everything(
    make_shop: Callable[..., Shop], name: str, request: pytest.FixtureRequest
) -> None:
    server: DatabaseServer = request.getfixturevalue(name)
    database = server.new_database()

    def request_ids() -> list[str]:
        with closing_chest(server.url(database)) as chest:
            return [stored.record.request_id for stored in chest.read(limit=100_000)]

    with fault_proxy(server.port) as proxy:
        shop = make_shop(server.url(database, port=proxy.port), batch_records=100)
        shop.ask(500)
        assert shop.recorder.flush(60)
        fast = p99(shop.ask(2000, pause=0.0003))
        wait_until_all_arrived(shop, request_ids)
        proxy.set(Fault.SLOW, b"COMMIT")
        written = len(request_ids())
        took = []
        for _ in range(120):  # more than the ring holds: 120 writes, in the time of a few
            took += shop.ask(100, pause=0.0003)
            wait_until(lambda: shop.recorder.stats()["ring"]["pending_bytes"] < 7 << 17)  # of 8
        slow = p99(took)
        wait_until(lambda: shop.spooled() > 0)
        assert shop.failures() == 0, "it is slow, not away"
        assert written <= len(request_ids()) < len(shop.asked)
        assert slow < 3 * fast + 100_000
        proxy.heal()
        wait_until_all_arrived(shop, request_ids)


@contextlib.contextmanager
def closing_chest(url: str) -> Iterator[ReadableChest]:
    chest = open_chest(url)
    assert isinstance(chest, ReadableChest)
    try:
        yield chest
    finally:
        chest.close()


def p99(took_ns: list[int]) -> int:
    return sorted(took_ns)[len(took_ns) * 99 // 100]


def test_a_database_that_became_read_only_gets_everything_when_it_can_be_written(
    make_shop: Callable[..., Shop], database: Database
) -> None:
    """As one that failed over, and the address leads to the standby."""
    shop = make_shop(database.url)
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    database.proxy.set(Fault.RESET)
    database.proxy.heal()
    shop.ask(500, pause=0.0001)
    wait_until(lambda: shop.failures() > 1)
    assert "read-only" in shop.recorder.stats()["last_error"]
    assert "dead_letters" not in shop.recorder.stats()
    database.execute(f"BEGIN READ WRITE; ALTER DATABASE {database.name} RESET ALL; COMMIT")
    database.proxy.set(Fault.RESET)
    database.proxy.heal()
    wait_until_all_arrived(shop, database.request_ids)


def test_a_database_whose_disk_is_full_gets_everything_when_there_is_room(
    make_shop: Callable[..., Shop], database: Database, small_disk: Path
) -> None:
    account = pwd.getpwnam("postgres")
    small_disk.chmod(0o755)
    place = small_disk / "tablespace"
    place.mkdir()
    os.chown(place, account.pw_uid, account.pw_gid)
    shop = make_shop(database.url)
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    space = f"small_{database.name}"
    database.execute(f"CREATE TABLESPACE {space} LOCATION '{place}'")
    try:
        database.execute(f"ALTER TABLE chest_records SET TABLESPACE {space}")
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
        shop.ask(3000, pause=0.0001)
        wait_until(lambda: shop.failures() > 1)
        assert "No space left" in shop.recorder.stats()["last_error"]
        assert "dead_letters" not in shop.recorder.stats()
        (small_disk / "ballast").unlink()
        wait_until_all_arrived(shop, database.request_ids)
    finally:
        shop.recorder.close(1)
        database.execute("DROP TABLE chest_records CASCADE")
        database.execute(f"DROP TABLESPACE {space}")


def test_a_table_that_is_dropped_under_us_is_made_again_or_waited_for(
    make_shop: Callable[..., Shop], database: Database
) -> None:
    shop = make_shop(database.url)
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.execute("DROP TABLE chest_records CASCADE")
    shop.asked.clear()
    shop.ask(200)
    wait_until_all_arrived(shop, database.request_ids)


def test_a_password_that_was_changed_costs_no_record_and_is_not_shown(
    make_shop: Callable[..., Shop], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute(f"DROP ROLE IF EXISTS {database.name}")
    database.execute(f"CREATE ROLE {database.name} LOGIN SUPERUSER PASSWORD 'old-s3cret'")
    address = f"{database.name}:old-s3cret@{HOST}:{database.proxy.port}/{database.name}"
    shop = make_shop(f"postgresql://{address}?timeout_seconds=1")
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.execute(f"ALTER ROLE {database.name} PASSWORD 'new'")
    database.proxy.set(Fault.RESET)
    database.proxy.heal()
    shop.ask(50)
    wait_until(lambda: shop.failures() > 0)
    assert "s3cret" not in caplog.text + repr(shop.recorder.stats()) + repr(shop.recorder)
    database.execute(f"ALTER ROLE {database.name} PASSWORD 'old-s3cret'")
    wait_until_all_arrived(shop, database.request_ids)


def test_one_store_that_is_blackholed_does_not_hold_up_another(
    make_shop: Callable[..., Shop], database: Database, tmp_path: Path
) -> None:
    store = tmp_path / "store.sqlite3"
    shop = make_shop(database.url, sqlite_url(store))
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.proxy.set(Fault.BLACKHOLE)
    for _ in range(10):
        shop.ask(800)
        wait_until(lambda: len(in_sqlite(store)) == len(shop.asked))
    database.proxy.heal()
    wait_until_all_arrived(shop, database.request_ids)


def test_a_request_that_starts_a_process_does_not_wait_for_a_store_that_is_silent(
    make_shop: Callable[..., Shop], database: Database
) -> None:
    """The exporter is inside the store, and holds what a fork has to hold still."""
    shop = make_shop(database.url.replace("timeout_seconds=1", "timeout_seconds=30"))
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.proxy.set(Fault.BLACKHOLE)
    shop.ask(10)
    wait_until(lambda: shop.recorder.lifecycle.state.delivery.loop.workers.is_holding)  # type: ignore[union-attr]
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks
        child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    assert time.monotonic() - began < 20  # the store is waited for for 30
    database.proxy.heal()
    wait_until_all_arrived(shop, database.request_ids)


@pytest.mark.alone
def test_with_every_store_blackholed_the_process_ends_in_time_and_the_next_one_delivers(
    database: Database, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    other = Database(database.server, database.proxy)
    code = """
        import sys, time
        from pathlib import Path
        from tests.kill.shop import Shop
        shop = Shop(Path(sys.argv[1]), *sys.argv[2:], shutdown_seconds=1)
        shop.ask(300)
        time.sleep(0.5)  # the exporter is inside the stores by now, or will be
        import atexit
        print(time.time(), flush=True)
    """
    patient = [each.url.replace("timeout_seconds=1", "timeout_seconds=30") for each in (database, other)]
    for url in patient:
        open_chest(url).open()
    database.proxy.set(Fault.BLACKHOLE)
    began = float(run_python(code, tmp_path / "rings", *patient))
    assert time.time() - began < 15  # each store is waited for for 30
    database.proxy.heal()
    shop = make_shop(database.url, other.url)
    shop.recorder.prepare()
    for each in (database, other):
        wait_until(lambda each=each: len(set(each.request_ids())) == 300)  # type: ignore[misc]
        assert len(each.request_ids()) == 300


@pytest.mark.alone
def test_the_added_time_is_the_same_while_the_store_is_down(make_shop: Callable[..., Shop], database: Database) -> None:
    shop = make_shop(database.url, ring_bytes=4 << 20)
    shop.ask(500)
    wait_until_all_arrived(shop, database.request_ids)
    rounds: dict[str, list[float]] = {"up": [], "down": []}
    for _ in range(7):
        for state, fault in (("up", Fault.NONE), ("down", Fault.BLACKHOLE)):
            database.proxy.set(fault)
            took = sorted(shop.ask(800, pause=0.0003))
            rounds[state].append(took[len(took) * 99 // 100])
    database.proxy.heal()
    up, down = statistics.median(rounds["up"]), statistics.median(rounds["down"])
    print(f"p99 with the store up {up / 1e3:.1f} µs, down {down / 1e3:.1f} µs")
    # 1.5 is the aim, which the benchmark shows; a test beside others on two cores can only tell waiting from not waiting.
    assert down < 3 * up + 100_000
    wait_until_all_arrived(shop, database.request_ids)


# -- SQLite and its disk -----------------------------------------------------------------------------------------------


def in_sqlite(store: Path) -> list[str]:
    if not store.exists():
        return []
    with contextlib.closing(sqlite3.connect(store)) as connection:
        try:
            return [row[0] for row in connection.execute("SELECT request_id FROM chest_records")]
        except sqlite3.OperationalError:
            return []


def test_a_database_that_another_program_keeps_locked_gets_everything_when_it_is_free(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    store = tmp_path / "store.sqlite3"
    shop = make_shop(sqlite_url(store) + "?busy_timeout_ms=100")
    shop.ask(10)
    wait_until_all_arrived(shop, lambda: in_sqlite(store))
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        shop.ask(1000, pause=0.0002)
        wait_until(lambda: shop.spooled() > 0)
        locker.execute("ROLLBACK")
    wait_until_all_arrived(shop, lambda: in_sqlite(store))


def test_a_table_dropped_in_sqlite_is_made_again(make_shop: Callable[..., Shop], tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    shop = make_shop(sqlite_url(store))
    shop.ask(10)
    wait_until_all_arrived(shop, lambda: in_sqlite(store))
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP VIEW chest_variables")
        connection.execute("DROP TABLE chest_records")
        connection.commit()
    shop.asked.clear()
    shop.ask(100)
    wait_until_all_arrived(shop, lambda: in_sqlite(store))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 16 MiB."""
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    path = Path(tempfile.mkdtemp(prefix="chest-disk-", dir="/tmp"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", path], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)
    shutil.rmtree(path)


def test_a_full_disk_takes_neither_spool_nor_record_and_breaks_nothing(
    make_shop: Callable[..., Shop], database: Database, small_disk: Path
) -> None:
    shop = make_shop(database.url, directory=small_disk / "rings")
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    database.proxy.set(Fault.RESET)
    shop.ask(2000, pause=0.0001)
    wait_until(lambda: shop.recorder.stats().get("spool_failed", 0) > 0)
    assert shop.recorder.stats()["delivery_is_running"]
    (small_disk / "ballast").unlink()
    database.proxy.heal()
    wait_until_all_arrived(shop, database.request_ids)


def test_a_spool_that_cannot_be_written_breaks_nothing(
    make_shop: Callable[..., Shop], database: Database, tmp_path: Path
) -> None:
    shop = make_shop(database.url)
    shop.ask(10)
    wait_until_all_arrived(shop, database.request_ids)
    database.proxy.set(Fault.RESET)
    # Not by its mode, which root does not mind: what is there in its place is no file.
    spool_path(tmp_path / "rings", open_chest(database.url).name).mkdir()
    shop.ask(500, pause=0.0001)
    wait_until(lambda: shop.recorder.stats().get("spool_failed", 0) > 0)
    database.proxy.heal()
    wait_until_all_arrived(shop, database.request_ids)


# -- the clock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_wall_clock_that_steps_back_and_forth_delays_nothing(
    make_shop: Callable[..., Shop],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    request: pytest.FixtureRequest,
) -> None:
    if store == "sqlite":
        url = sqlite_url(tmp_path / "store.sqlite3")
    else:
        url = request.getfixturevalue("postgresql").new_url()
    # In C the system's clock itself is read, which no test may step.
    monkeypatch.setattr("chest.request.middleware.IS_NATIVE", False)
    shop = make_shop(url)
    shop.ask(10)
    shop.recorder.flush()
    with closing_chest(url) as chest:

        def request_ids() -> list[str]:
            return [stored.record.request_id for stored in chest.read(limit=1000)]

        real, real_ns, offset = time.time, time.time_ns, [0]
        monkeypatch.setattr(time, "time", lambda: real() + offset[0])
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + offset[0] * 10**9)
        for offset[0] in (-86_400, 86_400, -3600, 0):
            shop.ask(50)
            wait_until_all_arrived(shop, request_ids, 10)
        records = [stored.record for stored in chest.read(limit=1000)]
    assert all(0 <= record.duration_ns < 60e9 for record in records)
    assert (
        max(record.time_ns for record in records) - min(record.time_ns for record in records)
        > 2 * 86_400 * 10**9 * 0.99
    )


def test_a_store_in_a_read_only_file_system_gets_everything_when_it_can_be_written(
    make_shop: Callable[..., Shop], small_disk: Path
) -> None:
    store = small_disk / "store.sqlite3"
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    shop = make_shop(sqlite_url(store))
    shop.ask(500, pause=0.0001)
    wait_until(lambda: shop.failures() > 1)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    wait_until_all_arrived(shop, lambda: in_sqlite(store))


def test_threads_that_ask_while_a_store_goes_up_and_down_lose_nothing(
    make_shop: Callable[..., Shop], database: Database
) -> None:
    shop = make_shop(database.url, ring_bytes=4 << 20)
    over = threading.Event()

    def flap() -> None:
        while not over.wait(0.3):
            database.proxy.set(Fault.RESET)
            if over.wait(0.4):
                break
            database.proxy.heal()
        database.proxy.heal()

    flapping = threading.Thread(target=flap)
    flapping.start()
    shop.ask(6000, pause=0.0003)
    over.set()
    flapping.join()
    wait_until_all_arrived(shop, database.request_ids)
    file = SpoolFile(spool_path(shop.recorder.directory, open_chest(database.url).name))
    if file.exists():
        assert file.size().records == 0
    file.close()
