"""Every ``CoordinationStore``: notes that two do not both change, locks that one has, and that end with the process."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.mongodb.coordination import LEASE_SECONDS, MongoCoordinationStore
from chest.chests.registry import open_chest
from chest.chests.sql.chest import SQLChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.errors import ChestUnavailable
from chest.transfer.file_coordination import FileCoordinationStore
from tests.processes import run_python, running_python
from tests.servers import HOST
from tests.servers.database import DatabaseServer
from tests.servers.fault_proxy import Fault, fault_proxy
from tests.support import wait_until

KINDS = ["directory", "sqlite", "postgresql", "mariadb", "mysql57", "mongodb"]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, or the path of a directory."""
    if request.param == "directory":
        return str(tmp_path / "notes")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chest.sqlite3'}"
    if request.param == "mongodb":
        server = request.getfixturevalue("mongodb")
        return f"mongodb://{HOST}:{server.port}/chest_{uuid.uuid4().hex[:12]}"
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.new_url()


def _coordination(place: str) -> CoordinationStore:
    if "://" not in place:
        return FileCoordinationStore(Path(place))
    chest = open_chest(place)
    assert isinstance(chest, ReadableChest)
    coordination = chest.coordination()
    assert coordination is not None
    return coordination


@pytest.fixture
def coordination(place: str) -> Iterator[CoordinationStore]:
    coordination = _coordination(place)
    yield coordination
    coordination.close()


@pytest.fixture
def other(place: str, coordination: CoordinationStore) -> Iterator[CoordinationStore]:
    """Of another program, at the same place."""
    other = _coordination(place)
    yield other
    other.close()


def test_a_note_is_what_was_set_last(coordination: CoordinationStore, other: CoordinationStore) -> None:
    first = coordination.compare_and_set("one", "a", None)
    assert first == VersionedValue("a", 1)
    assert other.value("one") == first
    second = other.compare_and_set("one", "ü" * 100_000, first)
    assert second is not None
    assert coordination.value("one") == second
    assert coordination.value("two") is None


def test_a_note_that_another_process_changed_is_not_set(
    coordination: CoordinationStore, other: CoordinationStore
) -> None:
    first = coordination.compare_and_set("one", "a", None)
    assert other.compare_and_set("one", "b", None) is None
    assert other.compare_and_set("one", "b", first) is not None
    assert coordination.compare_and_set("one", "c", first) is None
    assert coordination.value("one") == VersionedValue("b", 2)


def test_one_has_the_lock_and_the_next_when_it_is_given_back(
    coordination: CoordinationStore, other: CoordinationStore
) -> None:
    coordination.compare_and_set("one", "a", None)
    with coordination.lock("one") as is_ours:
        assert is_ours
        with other.lock("one") as is_theirs:
            assert not is_theirs
        with other.lock("two") as is_theirs:
            assert is_theirs
    with other.lock("one") as is_theirs:
        assert is_theirs


_HOLDER = """
import sys, time
from pathlib import Path
from chest.chests.registry import open_chest
from chest.transfer.file_coordination import FileCoordinationStore

place = sys.argv[1]
coordination = open_chest(place).coordination() if "://" in place else FileCoordinationStore(Path(place))
coordination.compare_and_set("one", "a", None)
with coordination.lock("one") as is_ours:
    print(is_ours, flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_the_process_that_was_killed(place: str, coordination: CoordinationStore) -> None:
    with running_python(_HOLDER, place) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with coordination.lock("one") as is_ours:
            assert not is_ours
        process.send_signal(signal.SIGKILL)

        def is_free() -> bool:
            with coordination.lock("one") as is_ours:
                return is_ours

        wait_until(is_free)


def test_a_lock_that_was_lost_on_the_way_does_no_harm(postgresql: DatabaseServer) -> None:
    with fault_proxy(postgresql.port) as proxy:
        coordination = SQLChest(postgresql.url(postgresql.new_database(), port=proxy.port)).coordination()
        with coordination.lock("one") as is_ours:
            assert is_ours
            proxy.set(Fault.RESET)
            proxy.heal()
        with coordination.lock("one") as is_ours:
            assert is_ours
        coordination.close()


@pytest.mark.parametrize("place", ["mongodb"], indirect=True)
def test_a_lease_lasts_for_as_long_as_it_is_held(coordination: CoordinationStore, other: CoordinationStore) -> None:
    with coordination.lock("one") as is_ours:
        assert is_ours
        until = time.monotonic() + 1.5 * LEASE_SECONDS
        while time.monotonic() < until:
            with other.lock("one") as is_theirs:
                assert not is_theirs
            time.sleep(0.1)


@pytest.mark.parametrize("place", ["mongodb"], indirect=True)
def test_a_lease_that_was_lost_is_not_given_back_for_the_next(
    place: str, coordination: CoordinationStore, other: CoordinationStore
) -> None:
    third = _coordination(place)
    with coordination.lock("one"):
        assert isinstance(coordination, MongoCoordinationStore)
        with coordination._asked() as documents:  # as if this process had been stopped for long
            documents.update_many({}, {"$unset": {"until": 1, "holder": 1}})
        with other.lock("one") as is_theirs:
            assert is_theirs
            coordination.renew("lock chest_records:one", "ours")
            with third.lock("one") as is_thirds:
                assert not is_thirds
    third.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("place", ["mongodb"], indirect=True)
def test_under_gevent_the_thread_of_a_tick_leaves_nothing_open(place: str) -> None:
    pytest.importorskip("gevent")
    said = run_python(
        """
        from gevent import monkey

        monkey.patch_all()
        import os
        import sys
        import time

        from chest.chests.registry import open_chest
        from chest.system.threads import new_lock, sleep, start_thread

        coordination = open_chest(sys.argv[1]).coordination()

        def tick():
            with coordination.lock("one") as is_ours:
                print(is_ours)
            coordination.close()
            over.release()

        def left_open():
            return len(os.listdir("/proc/self/fd")) + len(os.listdir("/proc/self/task"))

        before = left_open()
        for _ in range(10):
            over = new_lock()
            over.acquire()
            start_thread(tick)
            over.acquire()
        deadline = time.monotonic() + 60
        while left_open() > before + 8 and time.monotonic() < deadline:
            sleep(0.1)
        print("more open by", left_open() - before)
        """,
        place,
    )
    assert said.count("True") == 10
    assert int(said.split()[-1]) <= 8


def test_two_tables_of_a_database_have_notes_of_their_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'chest.sqlite3'}"
    one, two = SQLiteChest(url).coordination(), SQLiteChest(f"{url}?table=other").coordination()
    one.compare_and_set("name", "a", None)
    assert two.value("name") is None
    one.close()
    two.close()


def test_a_note_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    coordination = FileCoordinationStore(tmp_path / "notes")
    coordination.compare_and_set("one", "a", None)
    (file,) = (tmp_path / "notes").glob("*.json")
    file.write_text("{")
    with pytest.raises(ChestUnavailable, match="remove it"):
        coordination.value("one")


def test_reading_a_note_makes_nothing(tmp_path: Path) -> None:
    assert FileCoordinationStore(tmp_path / "notes").value("one") is None
    assert list(tmp_path.iterdir()) == []
