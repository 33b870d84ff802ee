"""What the MongoDB chest stores, in which order, and how it is read."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient

from chest.chests.contract import Chest
from chest.chests.mongodb.chest import MongoChest
from chest.chests.mongodb.documents import stored_record_of
from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.errors import (
    ChestUnavailable,
    RecordRejected,
)
from chest.record.record import Record
from chest.testing.readable_contract import ReadableChestContract
from chest.testing.records import make_record
from tests.chests.mongodb.conftest import Document, ids_of, new_url, wait_until
from tests.chests.server_contract import Place, ServerChestContract
from tests.servers import HOST, Server


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
