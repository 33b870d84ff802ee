"""The MongoDB chest, against a real server that stands alone and one that is a replica set."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient

from chest.chests import registry
from chest.chests.contract import Chest, StoredRecord
from chest.chests.mongodb.chest import MongoChest
from chest.chests.mongodb.documents import stored_record_of
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.errors import (
    ChestUnavailable,
    LoginRefused,
    MissingDependencyError,
    RecordRejected,
    SchemaMismatch,
    TLSRefused,
)
from chest.query import compare, neighbours, news, top, values
from chest.record.record import Record
from chest.testing.contract import in_child
from chest.testing.readable_contract import ReadableChestContract
from chest.testing.records import make_record
from tests.chests.server_contract import Place, ServerChestContract
from tests.processes import run_python
from tests.recording_server import elapsed_seconds, refused_port, silent_server
from tests.servers import HOST, Server
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy

Document = dict[str, Any]


def new_url(server: Server, options: str = "") -> str:
    """The URL of an unused database."""
    return f"mongodb://{HOST}:{server.port}/chest_{uuid.uuid4().hex[:12]}{options}"


@pytest.fixture
def url(mongodb: Server) -> str:
    return new_url(mongodb)


@pytest.fixture
def chest(url: str) -> Iterator[MongoChest]:
    with MongoChest(url) as chest:
        yield chest


@pytest.fixture
def client(mongodb: Server) -> Iterator[MongoClient[Document]]:
    """Some other program that uses the server."""
    with MongoClient(HOST, mongodb.port, tz_aware=True) as client:
        yield client


@pytest.fixture
def database(client: MongoClient[Document], url: str) -> Any:
    """The chest's database, as another program sees it."""
    return client[url.rpartition("/")[2]]


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


def ids_of(stored: list[StoredRecord]) -> list[str]:
    return [each.record.id for each in stored]


class _Contract(ReadableChestContract):
    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[Chest]:
        with open_chest(chest_url) as chest:
            yield chest


class TestAlone(_Contract):
    @pytest.fixture
    def chest_url(self, mongodb: Server) -> str:
        return new_url(mongodb)


class TestReplicaSet(_Contract):
    @pytest.fixture
    def chest_url(self, mongodb_replica_set: Server) -> str:
        return new_url(mongodb_replica_set, "?replicaSet=rs0&w=majority&ttl_days=30")


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"insert\0"
    impatient_query = "serverSelectionTimeoutMS=700"
    tls_query = f"tls=true&{impatient_query}"
    has_databases = False
    survives_restart_unnoticed = False  # no driver sends again what a server that stands alone may have done already

    @pytest.fixture
    def place(self, locked_server: Server) -> Place:
        name = f"chest_{uuid.uuid4().hex[:12]}"

        def url(
            *, port: int = locked_server.port, host: str = HOST, password: str = "s3cret", database: str = name,
            query: str = "",
        ) -> str:  # fmt: skip
            login = f"root:{quote(password, safe='')}"
            return f"mongodb://{login}@{host}:{port}/{database}?authSource=admin" + (f"&{query}" if query else "")

        return Place(locked_server, url, "s3cret")

    def stored_records(self, place: Place) -> list[Record]:
        """As another program sees them: a reader would wait until a lost batch is written again."""
        url = place.url()
        with MongoClient(url, tz_aware=True) as client:
            documents = client.get_default_database().chest_records.find()
            return [stored.record for stored in map(stored_record_of, documents) if stored is not None]


# -- documents ---------------------------------------------------------------------------------------------------------


def test_a_request_is_a_document_that_other_programs_can_ask_for(chest: MongoChest, database: Any) -> None:
    record = make_record(time_ns=1_700_000_000_123_456_789, variables={"user_id": "123", "cart": {"items": 3}})
    chest.write([record])
    document = database.chest_records.find_one({"variables.cart.items": 3})
    own = {name: document.pop(name) for name in ("seq", "stored_at", "time")}
    assert document == {"_id": record.id, **{name: value for name, value in record._asdict().items() if name != "id"}}
    assert own["time"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert abs(datetime.now(UTC) - own["stored_at"]) < timedelta(minutes=5)


def test_keys_that_mean_something_to_mongodb_come_back_as_they_were(chest: MongoChest) -> None:
    variables = {
        "a.b": 1,
        "$set": {"$ref": "x", "$id": 2**40, "$db": "y"},
        "": {"": []},
        "ref": {"$ref": "c", "$id": "i"},
        "_id": 5,
        "time": [{"$date": "2020"}],
    }
    record = make_record(variables=variables)
    chest.write([record])
    (stored,) = chest.read()
    assert stored.record == record
    assert type(stored.record.variables["$set"]["$id"]) is int
    assert type(stored.record.time_ns) is int


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"big": 2**63}, "8-byte ints"),
        ({"nul\0": 1}, "NULL byte"),
        ({"text": "\ud800"}, "surrogates"),
        ({"long": "x" * 17_000_000}, "are more than the 16777216 of a document"),
        ({"very long": "x" * 50_000_000}, "are more than"),
        ({"secret": object()}, "cannot encode object"),
        ({7: 1}, "string keys"),
    ],
)
def test_what_no_document_can_hold_is_refused_by_name_and_the_rest_can_be_stored(
    chest: MongoChest, value: Any, why: str
) -> None:
    good, bad = make_record(), make_record(variables=value)
    with pytest.raises(RecordRejected, match=why) as refusal:
        chest.write([good, bad])
    assert refusal.value.ids == (bad.id,)
    assert "object at 0x" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    assert bad.id not in ids_of(chest.read())
    chest.write([good])
    assert ids_of(chest.read()) == [good.id], "what was refused is not on its way, so no reader waits for it"


def test_what_the_server_refuses_is_named_and_the_others_are_stored(chest: MongoChest) -> None:
    deep: Document = {}
    for _ in range(190):
        deep = {"a": deep}
    records = [make_record(), make_record(variables=deep), make_record()]
    with pytest.raises(RecordRejected, match="levels of nesting") as refusal:
        chest.write(records)
    assert refusal.value.ids == (records[1].id,)
    assert ids_of(chest.read()) == [records[0].id, records[2].id]


def test_a_value_that_a_rule_of_the_users_forbids_is_refused(chest: MongoChest, database: Any) -> None:
    chest.open()
    database.command("collMod", "chest_records", validator={"status": {"$lt": 500}})
    good, bad = make_record(), make_record(status=500)
    with pytest.raises(RecordRejected, match="code 121") as refusal:
        chest.write([bad, good])
    assert refusal.value.ids == (bad.id,)
    assert ids_of(chest.read()) == [good.id]


def test_a_duplicate_in_a_unique_index_of_the_users_is_not_a_success(chest: MongoChest, database: Any) -> None:
    chest.open()
    database.chest_records.create_index("path", unique=True)
    first, same_path = make_record(path="/a"), make_record(path="/a")
    chest.write([first])
    with pytest.raises(RecordRejected, match="code 11000") as refusal:
        chest.write([first, same_path])
    assert refusal.value.ids == (same_path.id,)


def test_fields_and_documents_of_the_users_are_passed_over(chest: MongoChest, database: Any) -> None:
    chest.write([make_record(request_id="one")])
    database.chest_records.update_one({}, {"$set": {"note": "seen", "day": datetime.now(UTC)}})
    database.chest_records.insert_many([{"_id": 1, "what": "not ours"}, {"_id": 2, "seq": 10**15}])
    chest.write([make_record(request_id="two")])
    assert [each.record.request_id for each in chest.read()] == ["one", "two"]


# -- the order of storing ----------------------------------------------------------------------------------------------


def test_who_follows_sees_every_record_once_however_many_write_at_once(url: str) -> None:
    ended = threading.Event()
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with MongoChest(url) as chest:
                for batch in range(30):
                    chest.write(
                        [make_record(request_id=f"{writer}-{batch}-{place}") for place in range(1 + writer * 7)]
                    )
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    seen: list[str] = []
    with MongoChest(url) as reader:
        reader.open()
        for thread in writers:
            thread.start()
        threading.Thread(target=lambda: [[thread.join() for thread in writers], ended.set()]).start()
        after = None
        while True:
            was_ended = ended.is_set()
            page = reader.read(after=after, limit=50)
            seen += [each.record.request_id for each in page]
            after = page[-1].cursor if page else after
            if was_ended and not page:
                break
    assert not errors
    assert len(seen) == len(set(seen)) == sum(30 * (1 + writer * 7) for writer in range(4))


def test_a_reader_goes_no_further_than_a_batch_that_is_on_its_way(
    mongodb: Server, url: str, client: MongoClient[Document]
) -> None:
    """The batch that began first is there last: it is held back in the server."""
    with MongoChest(url) as chest, MongoChest(url) as slow, MongoChest(url) as reader:
        chest.write([make_record(request_id="before")])
        slow.open()
        block = {"failCommands": ["insert"], "appName": "chest", "blockConnection": True, "blockTimeMS": 1500}
        client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=block)
        thread = threading.Thread(target=slow.write, args=([make_record(request_id="slow")],))
        thread.start()
        database = client[url.rpartition("/")[2]]
        wait_until(lambda: database.chest_sequences.find_one({"open.0": {"$exists": True}}))
        wait_until(lambda: any(o.get("failpointMsg") or o.get("command", {}).get("insert") for o in operations(client)))
        chest.write([make_record(request_id="quick")])
        assert [each.record.request_id for each in reader.read()] == ["before"]
        assert reader.newest() == reader.read()[-1].cursor
        thread.join()
        assert [each.record.request_id for each in reader.read()] == ["before", "slow", "quick"]


def operations(client: MongoClient[Document]) -> list[Document]:
    return list(client.admin.aggregate([{"$currentOp": {"allUsers": True}}]))


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def test_what_a_killed_writer_had_on_its_way_holds_readers_up_for_a_while_only(
    chest: MongoChest, database: Any
) -> None:
    chest.write([make_record(request_id="before")])
    long, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(seconds=1)
    first = chest.newest()
    database.chest_sequences.update_one({}, {"$push": {"open": {"first": first, "until": long}}})
    chest.write([make_record(request_id="after")])
    assert chest.read() == []
    database.chest_sequences.update_one({"open.first": first}, {"$set": {"open.$.until": past}})
    assert [each.record.request_id for each in chest.read()] == ["before", "after"]
    chest.write([make_record()])
    assert database.chest_sequences.find_one()["open"] == []


def test_the_numbers_go_on_where_they_were_when_their_document_is_lost(chest: MongoChest, database: Any) -> None:
    chest.write([make_record()])
    newest = chest.newest()
    database.chest_sequences.drop()
    assert chest.newest() == newest
    later = make_record()
    chest.write([later])
    assert ids_of(chest.read(after=newest)) == [later.id]


def test_collections_of_one_database_have_orders_of_their_own(url: str) -> None:
    with MongoChest(url) as one, MongoChest(f"{url}?collection=other.records") as other:
        one.write([make_record(request_id="one")])
        other.write([make_record(request_id="other")])
        assert [each.record.request_id for each in other.read()] == ["other"]
        assert other.name.endswith("?collection=other.records")


# -- reading -----------------------------------------------------------------------------------------------------------


def test_reading_makes_nothing_and_says_when_nothing_is_there(
    chest: MongoChest, client: MongoClient[Document], database: Any
) -> None:
    for read in (chest.read, chest.newest):
        with pytest.raises(ChestUnavailable, match="has no collection chest_records"):
            read()
    assert database.name not in client.list_database_names()


def test_conditions_that_no_document_can_meet_find_nothing(chest: MongoChest) -> None:
    chest.write([make_record()])
    assert chest.read(Query(request_id="\ud800")) == []
    assert chest.read(Query(since_ns=10**30)) == []
    assert chest.read(Query(slower_than_ns=10**30)) == []
    assert len(chest.read(Query(until_ns=10**30, since_ns=-(10**30)))) == 1


@pytest.mark.parametrize(
    ("variables", "typed"),
    [
        ({"a.b": 1}, {"a.b": "1"}),
        ({"a": {"b": "x"}}, {"a.b": "x"}),
        ({"$gt": 5}, {"$gt": "5"}),
        ({"": "empty"}, {"": "empty"}),
        ({"big": 1e22}, {"big": "10000000000000000000000"}),
        ({"map": {"b": 1, "a": 2}}, {"map": '{"a": 2, "b": 1}'}),
        ({"list": [1, 2]}, {"list": "[1,2]"}),
        ({"text": "{not json"}, {"text": "{not json"}),
    ],
)
def test_the_server_hides_no_variable_that_a_query_means(
    chest: MongoChest, variables: Document, typed: dict[str, str]
) -> None:
    record = make_record(variables=variables)
    chest.write([make_record(), record])
    assert ids_of(chest.read(Query(variables=typed))) == [record.id]


def test_an_index_on_the_request_id_can_be_had(url: str, database: Any) -> None:
    with MongoChest(f"{url}?index=request_id") as chest:
        chest.write([make_record(request_id="mine")])
        assert chest.read(Query(request_id="mine"))
    assert "request_id_1" in database.chest_records.index_information()


# -- time to live ------------------------------------------------------------------------------------------------------


def test_the_server_removes_records_after_their_time(url: str) -> None:
    with MongoChest(f"{url}?ttl_days=0.00002") as chest:
        chest.write([make_record()])
        wait_until(lambda: chest.read() == [])


def test_another_time_to_live_takes_the_place_of_the_first(url: str, database: Any) -> None:
    for days in (30, 7):
        with MongoChest(f"{url}?ttl_days={days}") as chest:
            chest.open()
    assert database.chest_records.index_information()["stored_at_1"]["expireAfterSeconds"] == 7 * 86_400


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


@pytest.fixture(scope="module")
def locked_server() -> Iterator[Server]:
    """A server that asks for a log-in: ``root`` with ``s3cret``, ``reader`` with ``r3ad``."""
    from tests.servers.mongodb import mongodb

    with mongodb("--auth") as server:
        with MongoClient(HOST, server.port) as client:
            client.admin.command("createUser", "root", pwd="s3cret", roles=["root"])
        with MongoClient(HOST, server.port, username="root", password="s3cret") as client:
            client.admin.command("createUser", "reader", pwd="r3ad", roles=["readAnyDatabase"])
            client.admin.command("createUser", "asker", pwd="4sk", roles=[{"role": "read", "db": "asked"}])
        yield server


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
