"""The MongoDB chest when something goes wrong, and in processes and threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from chest.chests import registry
from chest.chests.mongodb.chest import MongoChest
from chest.errors import (
    ChestUnavailable,
    LoginRefused,
    MissingDependencyError,
    SchemaMismatch,
    TLSRefused,
)
from chest.query import compare, neighbours, news, top, values
from chest.record.record import Record
from chest.testing.contract import in_child
from chest.testing.records import make_record
from tests.chests.mongodb.conftest import Document, ids_of, new_url, wait_until
from tests.processes import run_python
from tests.recording_server import elapsed_seconds, refused_port, silent_server
from tests.servers import HOST, Server
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy


@pytest.fixture
def proxy(mongodb: Server) -> Iterator[FaultProxy]:
    with fault_proxy(mongodb.port) as proxy:
        yield proxy


@pytest.fixture
def distant_chest(proxy: FaultProxy, url: str) -> Iterator[MongoChest]:
    """A chest that reaches its server through the proxy, and is open."""
    name = url.rpartition("/")[2]
    with MongoChest(f"mongodb://{HOST}:{proxy.port}/{name}?timeout_seconds=2") as chest:
        chest.open()
        yield chest


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_record_whose_answer_was_lost_is_there_once_after_the_retry(
    distant_chest: MongoChest, proxy: FaultProxy, chest: MongoChest
) -> None:
    records = [make_record() for _ in range(50)]
    proxy.set(Fault.REPLY_LOST, b"insert\0")
    with pytest.raises(ChestUnavailable, match="cannot be reached"):
        distant_chest.write(records)
    assert proxy.cuts == 1
    assert chest.read() == [], "more of it may come"
    distant_chest.write(records)
    assert ids_of(chest.read()) == [record.id for record in records]


def test_a_batch_that_is_written_again_in_halves_is_settled_when_all_of_it_was(
    distant_chest: MongoChest, proxy: FaultProxy, chest: MongoChest
) -> None:
    records = [make_record() for _ in range(10)]
    proxy.set(Fault.REPLY_LOST, b"insert\0")
    with pytest.raises(ChestUnavailable):
        distant_chest.write(records)
    distant_chest.write(records[:5])
    assert chest.read() == []
    distant_chest.write(records[5:])
    assert len(chest.read()) == 10


def test_a_connection_cut_before_the_server_had_the_batch_stores_it_once_at_the_retry(
    distant_chest: MongoChest, proxy: FaultProxy, chest: MongoChest
) -> None:
    records = [make_record()]
    proxy.set(Fault.CUT_BEFORE, b"insert\0")
    with pytest.raises(ChestUnavailable):
        distant_chest.write(records)
    distant_chest.write(records)
    assert ids_of(chest.read()) == [records[0].id]


def test_what_was_taken_to_settle_and_lost_is_settled_with_the_next_batch(
    distant_chest: MongoChest, proxy: FaultProxy, chest: MongoChest
) -> None:
    proxy.set(Fault.CUT_BEFORE, b"$pull")
    distant_chest.write([make_record(request_id="one")])
    assert chest.read() == []
    distant_chest.write([make_record(request_id="two")])
    assert [each.record.request_id for each in chest.read()] == ["one", "two"]


def test_a_server_that_answers_no_more_is_given_up_after_the_timeout(
    distant_chest: MongoChest, proxy: FaultProxy
) -> None:
    proxy.set(Fault.BLACKHOLE)
    begin = time.monotonic()
    with pytest.raises(ChestUnavailable, match=r"within 2 s|cannot be reached"):
        distant_chest.write([make_record()])
    assert time.monotonic() - begin < 15
    proxy.heal()


def test_a_port_that_never_says_a_word_is_given_up() -> None:
    with silent_server() as port, MongoChest(f"mongodb://{HOST}:{port}/shop?timeout_seconds=0.5") as chest:
        with pytest.raises(ChestUnavailable):
            chest.write([make_record()])
        assert elapsed_seconds(lambda: chest.write([make_record()])) < 5


@pytest.mark.parametrize("place", [f"{HOST}:{{port}}", "no-such-host.invalid"])
def test_an_absent_server_is_unavailable_and_the_password_is_not_shown(place: str) -> None:
    url = f"mongodb://me:hunter2@{place.format(port=refused_port())}/shop?timeout_seconds=0.5"
    with MongoChest(url) as chest:
        for act in (chest.open, lambda: chest.write([make_record()]), chest.check, chest.read, chest.newest):
            with pytest.raises(ChestUnavailable, match=r"cannot be reached|cannot be resolved") as error:
                act()
            assert "hunter2" not in str(error.value)
            assert "Topology" not in str(error.value)


def test_a_server_without_tls_is_unavailable_to_who_asks_for_it(mongodb: Server) -> None:
    url = new_url(mongodb, "?tls=true&timeout_seconds=1")
    with MongoChest(url) as chest, pytest.raises(TLSRefused, match="SSL"):
        chest.write([make_record()])


def test_a_server_that_is_stopped_and_started_again_takes_records_again() -> None:
    from tests.servers.mongodb import mongodb

    with mongodb() as server, MongoChest(new_url(server, "?timeout_seconds=1")) as chest:
        records = [make_record() for _ in range(3)]
        chest.write(records[:1])
        server.stop()
        with pytest.raises(ChestUnavailable):
            chest.write(records[1:])
        server.start()
        chest.write(records[1:])
        assert ids_of(chest.read()) == [record.id for record in records]


def test_a_log_in_that_is_refused_or_may_not_write_is_said(locked_server: Server) -> None:
    place = f"{HOST}:{locked_server.port}/shop?authSource=admin"
    with MongoChest(f"mongodb://root:s3cret@{place}") as chest:
        chest.check()
        chest.write([make_record()])
    for login, why in (("root:wr0ng", "refused the log-in"), ("reader:r3ad", "may not do that")):
        with MongoChest(f"mongodb://{login}@{place}") as chest:
            for act in (chest.check, lambda chest=chest: chest.write([make_record()])):
                with pytest.raises(LoginRefused, match=why) as error:
                    act()
                assert login.partition(":")[2] not in f"{error.value} {chest!r}"
    with MongoChest(f"mongodb://{place}") as chest, pytest.raises(LoginRefused, match="may not do that"):
        chest.check()
    with MongoChest(f"mongodb://reader:r3ad@{place}") as chest:
        assert len(chest.read()) == 1


def test_a_log_in_with_the_role_read_may_ask_everything_and_write_nothing(locked_server: Server) -> None:
    place = f"{HOST}:{locked_server.port}/asked?authSource=admin"
    record = make_record()
    with MongoChest(f"mongodb://root:s3cret@{place}") as chest:
        chest.write([record, make_record()])
    with MongoChest(f"mongodb://asker:4sk@{place}") as chest:
        assert top(chest).basis.is_exact
        assert [row.name for row in values(chest, names=["route"]).rows] == ["route"]
        assert compare(chest, "duration>1s").basis.of == 2
        assert neighbours(chest, record.id[:20]).basis.is_exact
        assert len(chest.latest().records) == len(chest.following().records) == 2
        assert news(chest).basis.is_exact
        with pytest.raises(LoginRefused, match="may not do that"):
            chest.write([make_record()])
        with pytest.raises(LoginRefused, match="may not do that"):
            chest.remove(chest.read())


WRITERS_RIGHTS = {"chest_records": ["insert", "createIndex"], "chest_sequences": ["find", "insert", "update"]}
"""As docs/mongodb.md lists them."""
MISSING_RIGHTS = [(name, action) for name, actions in WRITERS_RIGHTS.items() for action in actions]


def chest_with(server: Server, rights: dict[str, list[str]], database: str) -> MongoChest:
    """A chest in a database of its own, with a log-in that has these actions on these collections and nothing else."""
    privileges = [
        {"resource": {"db": database, "collection": name}, "actions": actions} for name, actions in rights.items()
    ]
    with MongoClient(HOST, server.port, username="root", password="s3cret") as client:
        client[database].command("createRole", "writer", privileges=privileges, roles=[])
        client[database].command("createUser", "writer", pwd="wr1te", roles=["writer"])
    return MongoChest(f"mongodb://writer:wr1te@{HOST}:{server.port}/{database}")


def test_the_rights_that_the_documents_list_are_all_that_writing_takes(locked_server: Server) -> None:
    records = [make_record(), make_record()]
    with chest_with(locked_server, WRITERS_RIGHTS, "all_rights") as chest:
        chest.check()
        for _ in range(2):
            chest.write(records)
    with MongoClient(HOST, locked_server.port, username="root", password="s3cret") as client:
        assert client["all_rights"]["chest_records"].count_documents({}) == 2


@pytest.mark.parametrize(
    ("more", "outcomes"), [([], ["killed", "ok"]), (["find"], ["killed", "ok"]), (["find", "update"], ["ok", "ok"])]
)
def test_the_note_of_a_killed_request_gives_way_if_the_log_in_may_find_and_update(
    locked_server: Server, more: list[str], outcomes: list[str]
) -> None:
    rights = {**WRITERS_RIGHTS, "chest_records": WRITERS_RIGHTS["chest_records"] + more}
    database = "_".join(["notes", *more])
    first, second = make_record(), make_record()
    with chest_with(locked_server, rights, database) as chest:
        chest.write([first._replace(outcome="killed")])
        chest.write([second, first])
        chest.write([second, first])
    with MongoClient(HOST, locked_server.port, username="root", password="s3cret") as client:
        stored = client[database]["chest_records"].find()
        assert sorted(each["outcome"] for each in stored) == outcomes


def test_a_reader_waits_for_the_record_that_takes_the_place_of_a_note_and_a_lost_answer_doubles_nothing(
    distant_chest: MongoChest, proxy: FaultProxy, chest: MongoChest
) -> None:
    record = make_record()
    chest.write([record._replace(outcome="killed")])
    proxy.set(Fault.REPLY_LOST, b"update\0\x0e\0\0\0chest_records")
    with pytest.raises(ChestUnavailable):
        distant_chest.write([record])
    assert proxy.cuts == 1
    distant_chest.write([record])
    assert [stored.record for stored in chest.read()] == [record]


@pytest.mark.parametrize(("collection", "action"), MISSING_RIGHTS)
def test_check_finds_each_right_that_writing_would_miss_and_makes_nothing(
    locked_server: Server, collection: str, action: str
) -> None:
    rights = {
        name: [each for each in actions if (name, each) != (collection, action)]
        for name, actions in WRITERS_RIGHTS.items()
    }
    database = f"without_{collection}_{action}"
    with chest_with(locked_server, rights, database) as chest:
        with pytest.raises(LoginRefused):
            chest.check()
        with MongoClient(HOST, locked_server.port, username="root", password="s3cret") as client:
            assert client[database].list_collection_names() == []
        with pytest.raises(LoginRefused):
            chest.write([make_record()])


def test_check_makes_nothing(chest: MongoChest, database: Any) -> None:
    chest.check()
    assert database.list_collection_names() == []


@pytest.mark.parametrize(
    "kind",
    [{"viewOn": "other", "pipeline": []}, {"timeseries": {"timeField": "time"}}],
    ids=["view", "timeseries"],
)
def test_what_cannot_hold_each_record_once_is_not_written_to(chest: MongoChest, database: Any, kind: Document) -> None:
    database.command("create", "chest_records", **kind)
    for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
        with pytest.raises(SchemaMismatch, match=r"another \?collection="):
            act()
    assert database["chest_records"].count_documents({}) == 0


@pytest.mark.parametrize(
    "failure",
    [{"errorCode": 91}, {"errorCode": 10107}, {"errorCode": 14031}, {"closeConnection": True}, {"errorCode": 8000}],
)
def test_a_server_that_steps_down_or_has_no_room_makes_records_wait(
    mongodb_replica_set: Server, failure: Document
) -> None:
    with (
        MongoChest(new_url(mongodb_replica_set, "?retryWrites=false&heartbeatFrequencyMS=500")) as chest,
        MongoClient(HOST, mongodb_replica_set.port) as client,
    ):
        chest.open()
        data = {"failCommands": ["insert"], "appName": "chest", **failure}
        client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)
        records = [make_record()]
        with pytest.raises(ChestUnavailable, match=r"failpoint|closed"):
            chest.write(records)
        # For a moment the driver holds the server for one that cannot be written to.
        wait_until(lambda: is_written(chest, records) and chest.read())
        assert ids_of(chest.read()) == [records[0].id]


def is_written(chest: MongoChest, records: list[Record]) -> bool:
    try:
        chest.write(records)
    except ChestUnavailable:
        return False
    return True


def test_a_write_that_is_not_as_safe_as_the_url_asks_is_tried_again(mongodb_replica_set: Server) -> None:
    records = [make_record()]
    url = new_url(mongodb_replica_set)
    with (
        MongoChest(f"{url}?retryWrites=false") as chest,
        MongoClient(HOST, mongodb_replica_set.port) as client,
    ):
        chest.open()
        error = {"code": 64, "errmsg": "waiting for replication timed out"}
        data = {"failCommands": ["insert"], "appName": "chest", "writeConcernError": error}
        client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)
        with pytest.raises(ChestUnavailable, match="waiting for replication"):
            chest.write(records)
        chest.write(records)
        assert ids_of(chest.read()) == [records[0].id]


# -- processes and threads ---------------------------------------------------------------------------------------------


def test_a_forked_child_uses_no_connection_of_its_parent(proxy: FaultProxy, distant_chest: MongoChest) -> None:
    distant_chest.write([make_record()])
    before = proxy.connections
    in_child(lambda: [distant_chest.write([make_record()]), distant_chest.close()])
    assert proxy.connections > before
    distant_chest.write([make_record()])
    assert len(distant_chest.read()) == 3


def test_threads_may_write_and_read_at_once(chest: MongoChest) -> None:
    threads = [
        threading.Thread(target=lambda: [(chest.write([make_record()]), chest.read(limit=5)) for _ in range(10)])
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chest.read()) == 50


def test_the_numbers_of_batches_overlap_in_no_process(url: str, database: Any) -> None:
    run_python(
        """
        import sys
        from multiprocessing import get_context

        from chest.chests.mongodb.chest import MongoChest
        from chest.testing.records import make_record

        def write(url):
            with MongoChest(url) as chest:
                for _ in range(20):
                    chest.write([make_record() for _ in range(20)])

        processes = [get_context("fork").Process(target=write, args=(sys.argv[1],)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        """,
        url,
    )
    assert len(set(database.chest_records.distinct("seq"))) == 3 * 20 * 20


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_check_makes_nothing(chest: MongoChest, client: MongoClient[Document], database: Any) -> None:
    chest.check()
    assert database.name not in client.list_database_names()


def test_without_the_driver_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith(("chest.chests.mongodb.chest", "pymongo"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[mongo\]'"):
        registry.open_chest("mongodb://host/shop")


def test_under_gevent_a_process_with_a_recorder_ends_well(url: str, tmp_path: Path) -> None:
    """Threads that the driver made are greenlets, some of which wait when the interpreter ends."""
    pytest.importorskip("gevent")
    for _ in range(3):
        run_python(
            """
            from gevent import monkey

            monkey.patch_all()
            import sys

            import gevent

            from chest import Recorder
            from chest.testing.records import make_record

            recorder = Recorder(chests=[sys.argv[1]], directory=sys.argv[2])
            recorder.prepare()
            recorder.offer(make_record())
            gevent.sleep(0.05)
            """,
            url,
            tmp_path,
        )
