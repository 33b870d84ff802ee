"""Records whose JSON stays encoded from the ring to a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from chest import Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.place import spool_path
from chest.delivery.spool.spool import Spool
from chest.native import IS_NATIVE
from chest.record.counters import Counters
from chest.record.encoded import EncodedRecord
from chest.record.record import Record
from tests.support import make_record

VARIABLES = {"ü": ["\U0001f600", None, 1.5, -1, True], "quoted": 'a "b" \\ \n\0', "nested": {"a": {"b": []}}}
LABEL = "sqlite:///records.sqlite3"


class _Kinds:
    """Which classes of records :meth:`seen` was given."""

    def __init__(self) -> None:
        self.found: set[type] = set()

    def seen(self, records: Sequence[Record]) -> Sequence[Record]:
        self.found |= {type(record) for record in records}
        return records


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> _Kinds:
    kinds, write = _Kinds(), SQLiteChest.write
    monkeypatch.setattr(SQLiteChest, "write", lambda chest, records: write(chest, kinds.seen(records)))
    return kinds


@pytest.fixture
def record_into(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def record_into(*chests: Chest) -> Recorder:
        made.append(Recorder(chests, directory=tmp_path / "rings", service="shop", flush_seconds=0.05))
        return made[-1]

    yield record_into
    for recorder in made:
        recorder.close()


def _wrapped(url: str) -> SQLiteChest:
    """A chest around whose ``write`` there is something of the user's."""
    chest = SQLiteChest(url)
    chest.write = partial(SQLiteChest.write, chest)  # type: ignore[method-assign]
    return chest


class OfUser(SQLiteChest):
    """A chest of the user's, which may look at records as they are."""


@pytest.mark.parametrize(
    ("kind", "others", "expected"),
    [
        (SQLiteChest, (), EncodedRecord if IS_NATIVE else Record),
        (SQLiteChest, (MemoryChest,), Record),
        (OfUser, (), Record),
        (_wrapped, (), Record),
    ],
)
def test_a_chest_gets_encoded_records_if_all_chests_of_the_recorder_take_them(
    kind: Callable[[str], SQLiteChest],
    others: Sequence[Callable[[], Chest]],
    expected: type,
    tmp_path: Path,
    record_into: Callable[..., Recorder],
    kinds: _Kinds,
) -> None:
    chest = kind(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    recorder = record_into(chest, *(other() for other in others))
    records = [make_record(service="shop", release="", host="h", variables={**VARIABLES, "n": n}) for n in range(20)]
    for record in records:
        recorder.offer(record)
    assert recorder.flush(60)
    assert kinds.found == {expected}
    stored = [each.record for each in chest.read()]
    assert [each._replace(host="h") for each in stored] == records
    assert {type(each) for each in stored} == {Record}


def test_code_that_knows_plain_records_alone_may_look_at_encoded_ones_and_change_them(tmp_path: Path) -> None:
    record = make_record(variables=VARIABLES)
    encoded = EncodedRecord.of(record)
    assert encoded._asdict() == record._asdict()
    changed = encoded._replace(variables={"changed": 1})
    assert changed == record._replace(variables={"changed": 1})
    with SQLiteChest(f"sqlite:///{tmp_path / 'records.sqlite3'}") as chest:
        chest.write([EncodedRecord.of(other := make_record()), changed])
        assert [each.record for each in chest.read()] == [other, changed]


def test_the_text_in_the_database_is_what_the_encoder_makes_of_the_values(
    tmp_path: Path, record_into: Callable[..., Recorder]
) -> None:
    path = tmp_path / "records.sqlite3"
    recorder = record_into(SQLiteChest(f"sqlite:///{path}"))
    record = make_record(variables=VARIABLES, attributes={"a": 1}, route=None, error=None)
    recorder.offer(record)
    assert recorder.flush(60)
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT variables, attributes, route, error FROM chest_records").fetchone()
    encoded = EncodedRecord.of(record)
    assert row == (encoded[10], encoded[11], None, None)


def test_encoded_records_that_wait_on_disk_come_back_as_any_others(tmp_path: Path) -> None:
    records = [make_record(variables={**VARIABLES, "n": number}) for number in range(3)]
    spool = Spool(spool_path(tmp_path, LABEL), LABEL, 1 << 20, Counters())
    encoded = [EncodedRecord.of(record) for record in records]
    assert spool.add(encoded[:2], pieces=[encoded[:2]])
    assert spool.dead_letter(encoded[2:], "refused")
    assert spool.begin()
    piece = spool.oldest()
    assert piece is not None
    assert piece.records == records[:2]
    spool.close()
    with closing(SpoolFile(spool_path(tmp_path, LABEL), LABEL)) as file:
        assert [letter.record for letter in DeadLetters(file).list()] == records[2:]


def test_a_record_that_the_database_refuses_is_kept_with_its_values_and_the_others_are_stored(
    tmp_path: Path, record_into: Callable[..., Recorder]
) -> None:
    chest = SQLiteChest(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    chest.open()
    with closing(sqlite3.connect(tmp_path / "records.sqlite3")) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON chest_records WHEN new.request_id = 'bad'"
            " BEGIN SELECT raise(ABORT, 'refused'); END"
        )
    recorder = record_into(chest)
    for number in range(40):
        recorder.offer(make_record(request_id="bad" if number == 17 else str(number), variables=VARIABLES))
    assert recorder.flush(60)
    assert [each.record.request_id for each in chest.read()] == [str(n) for n in range(40) if n != 17]
    with closing(SpoolFile(spool_path(tmp_path / "rings", chest.name), chest.name)) as file:
        (letter,) = DeadLetters(file).list()
    assert letter.record is not None
    assert (letter.record.request_id, letter.record.variables) == ("bad", VARIABLES)
