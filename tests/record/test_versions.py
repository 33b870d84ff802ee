"""What one release wrote and another one reads, without a store or a process between; see docs/upgrading.md."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson.json_util import loads

from chest.chests.mongodb.documents import documents_of, stored_record_of
from chest.chests.ndjson.chest import NdjsonChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.delivery.spool.dead_letters import DeadLetters
from chest.delivery.spool.file import SpoolFile
from chest.delivery.spool.salvage import records_in
from chest.delivery.spool.spool import Spool
from chest.record.counters import Counters
from chest.record.decoding import record_of_json
from chest.record.encoding import decode, encode
from chest.record.record import VERSION, Record
from chest.record.record_id import RecordIds
from chest.record.row import row_of
from chest.ring.in_flight import InFlight, killed_requests
from chest.ring.line import Lineage, Resource, decode_foreign_lines
from chest.ring.recovery import adopt_orphaned_rings
from chest.ring.segments.file import SegmentFile
from tests.fixtures.left import RELEASES, having, records_of, ring_in, same_fields, unpacked
from tests.ring.test_recovery import recover
from tests.support import make_record

every_release = pytest.mark.parametrize("release", RELEASES, ids=[path.name for path in RELEASES])
MIB = 1024 * 1024
RESOURCE = Resource("shop", "1.0", "test")
ids = RecordIds()


# -- what releases left ------------------------------------------------------------------------------------------------


@every_release
def test_the_ring_of_a_killed_process_is_read(release: Path, tmp_path: Path) -> None:
    ring_in(tmp_path, release)
    counters = Counters()
    assert same_fields(recover(tmp_path, counters), records_of(release, "in_ring.json"))
    assert counters.snapshot().get("dropped.damaged", 0) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("release", having("batches.json"), ids=lambda path: path.name)
def test_a_batch_that_was_noted_is_sent_again_as_it_was(release: Path, tmp_path: Path) -> None:
    ring_in(tmp_path, release)
    (ring,) = adopt_orphaned_rings(tmp_path, Counters())
    pieces = [[record.id for record in records] for records, _ in ring.pieces()]
    batches = json.loads((release / "batches.json").read_text())
    assert pieces[: len(batches)] == batches
    assert len(pieces) > len(batches)
    ring.release()


@pytest.mark.parametrize("release", having("messages.ndjson"), ids=lambda path: path.name)
def test_messages_of_a_stream_are_read(release: Path) -> None:
    found = [record_of_json(line) for line in (release / "messages.ndjson").read_bytes().splitlines()]
    assert same_fields([record for record in found if record is not None], records_of(release))


@every_release
def test_a_spool_is_read_with_its_dead_letters_and_written_on(release: Path, tmp_path: Path) -> None:
    file = SpoolFile(unpacked(release / "chest.spool.gz", tmp_path))
    new = make_record()
    file.add([new], MIB)
    pieces = list(pieces_of(file))
    *waiting, dead = records_of(release)
    assert same_fields([record for piece in pieces for record in piece.records], [*waiting, new._asdict()])
    assert [piece.damaged for piece in pieces] == [0, 0, 0]
    letters = DeadLetters(file).list()
    assert same_fields([letter.record for letter in letters], [dead])
    assert DeadLetters(file).requeue([*letters, *letters]) == 1
    assert [same_fields(piece.records, [dead]) for piece in pieces_of(file, pieces[-1].seq)] == [True]
    file.close()


@every_release
@pytest.mark.parametrize("name", ["chest.ndjson", "chest.ndjson.gz"])
def test_lines_are_read_and_more_are_appended(release: Path, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((release / name).read_bytes())
    new = make_record()
    with NdjsonChest(f"ndjson:{path}") as chest:
        chest.write([new])
        assert same_fields([stored.record for stored in chest.read()], [*records_of(release), new._asdict()])


@every_release
def test_a_table_of_sqlite_is_read_and_written_on(release: Path, tmp_path: Path) -> None:
    path = unpacked(release / "chest.sqlite3.gz", tmp_path)
    new = make_record()
    with SQLiteChest(f"sqlite:///{path}") as chest:
        assert same_fields([stored.record for stored in chest.read()], records_of(release))
        chest.write([new])
        assert same_fields([stored.record for stored in chest.read()], [*records_of(release), new._asdict()])


# -- fewer fields and more, as an older and a newer release would write ----------------------------------------------------


def rows_of_other_releases() -> Iterator[tuple[list[Any], Record]]:
    """Values as they stand in a spool, and the record that this release makes of them."""
    record = make_record(ids, variables={"a": 1})
    values = list(record)
    yield [*values, "eu-west-1"], record
    yield [*values, None, {"more": [1]}], record
    yield values[:14], record._replace(host="")
    yield values[:11], record._replace(attributes={}, service="", release="", host="")
    yield values[:3], Record(*values[:3], 0, "", "", None, None, "", None, {}, {}, "", "", "")


@pytest.mark.parametrize(("values", "record"), list(rows_of_other_releases()))
def test_a_spool_of_another_release_is_delivered_and_nothing_counts_as_damaged(
    values: list[Any], record: Record, tmp_path: Path
) -> None:
    file = SpoolFile(tmp_path / "a.spool")
    file.add([make_record(ids)], MIB)
    DeadLetters(file).add([make_record(ids)], "refused", MIB)
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("UPDATE spooled SET lines = ?", (encode([values]),))
        connection.execute("UPDATE dead SET line = ?", (encode(values),))
    (piece,) = pieces_of(file)
    assert (piece.records, piece.damaged) == ([record], 0)
    assert records_in(encode([values])) == [record]
    assert [letter.record for letter in DeadLetters(file).list()] == [record]
    file.close()


@pytest.mark.parametrize("values", [[], ["a"], ["a", "b", "c"], ["a", "b", None], {}, "a", None])
def test_what_no_release_wrote_counts_as_damaged(values: object, tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a.spool")
    file.add([make_record(ids)], MIB)
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("UPDATE spooled SET lines = ?", (encode([values]),))
    assert [(piece.records, piece.damaged) for piece in pieces_of(file)] == [([], 1)]
    file.close()


def test_a_dead_letter_of_a_newer_release_is_revived_with_what_this_one_does_not_know(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "a.spool")
    DeadLetters(file).add([make_record(ids, path="/café")], "refused", MIB)
    with closing(sqlite3.connect(file.path)) as connection, connection:
        line = encode([*decode(connection.execute("SELECT line FROM dead").fetchone()[0]), "eu-west-1"])
        connection.execute("UPDATE dead SET line = ?, version = ?", (line, VERSION + 1))
    assert DeadLetters(file).requeue(DeadLetters(file).list()) == 1
    file.close()
    with closing(sqlite3.connect(file.path)) as connection:
        found = connection.execute("SELECT lines, length(lines) = bytes, version FROM spooled").fetchall()
    assert found == [(b"[" + line + b"]", 1, VERSION + 1)]


def test_that_a_newer_release_spooled_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    spool = Spool(tmp_path / "a.spool", "memory:", MIB, counters)
    for _ in range(2):
        assert spool.add([make_record(ids)])
    with closing(sqlite3.connect(spool.path)) as connection, connection:
        connection.execute("UPDATE spooled SET version = ?", (VERSION + 1,))
    assert spool.begin()
    with caplog.at_level(logging.WARNING, "chest.delivery"):
        while piece := spool.oldest():
            spool.remove(piece)
    spool.close()
    assert [f"version {VERSION + 1}, this release knows {VERSION}" in message for message in caplog.messages] == [True]


def lines_of_other_releases() -> Iterator[tuple[list[Any], Record]]:
    """Rows as they stand in a ring, and the record that this release makes of them."""
    record = make_record(ids, variables={"a": 1}, attributes={"b": 2})
    long = list(row_of(record))
    yield [*long, "eu-west-1"], record
    yield [*long, None, {"more": [1]}, 5], record
    yield long[:13], record._replace(attributes={})
    unsaid = record._replace(route=None, attributes={})
    yield long[:9], unsaid._replace(variables={})
    yield long[:10], unsaid


@pytest.mark.parametrize(("row", "record"), list(lines_of_other_releases()))
def test_lines_of_a_ring_of_another_release_are_read(row: list[Any], record: Record) -> None:
    lineage = Lineage(ids.process)
    assert decode_foreign_lines(encode(row) + b"\n", RESOURCE, lineage) == ([record], 0)
    torn = encode([*row[:3], row[3] ^ 1, *row[4:]]) + b"\n"
    assert decode_foreign_lines(torn, RESOURCE, lineage) == ([], 1)


@pytest.mark.parametrize("path", ["/items", "/long/" * 200])
def test_a_request_that_a_newer_release_was_serving_is_told_though_its_note_says_more(path: str) -> None:
    file = SegmentFile.in_memory(MIB, {})
    in_flight = InFlight(Counters())
    in_flight.open(file)
    record = make_record(ids)
    (*row,) = record.id[16:], record.request_id, record.time_ns, record.time_ns % 65_521, "GET", path, "eu-west-1"
    slot = in_flight.begin(record.id[16:], record.request_id, record.time_ns, "GET", path)
    assert slot
    slot.write(encode(row) + b"\n")
    assert [found.id for found in killed_requests(file, RESOURCE, ids.process)] == [record.id]
    file.close()


def test_a_ring_says_which_version_its_records_are(tmp_path: Path) -> None:
    SegmentFile.create(tmp_path / "a.ring", MIB, {"service": "shop", "process": "00"}).close()
    file = SegmentFile.open(tmp_path / "a.ring")
    assert file.description == {"version": VERSION, "service": "shop", "process": "00"}
    file.close()


def pieces_of(file: SpoolFile, after: int = 0) -> Iterator[Any]:
    """All that wait, behind the one of this number."""
    while (piece := file.oldest(after)) is not None:
        yield piece
        after = piece.seq


@pytest.mark.parametrize("more", [{"zone": "eu-west-1", "version": VERSION + 1}, {}])
def test_lines_of_another_release_are_read_by_the_names_of_their_fields(more: dict[str, Any], tmp_path: Path) -> None:
    record = make_record()
    fields = {**dict(reversed(record._asdict().items())), **more, "stored_at": "2026-11-29T12:00:00Z"}
    del fields["host"], fields["attributes"]
    (tmp_path / "a.ndjson").write_bytes(encode(fields) + b"\n")
    with NdjsonChest(f"ndjson:{tmp_path}/a.ndjson") as chest:
        assert [stored.record for stored in chest.read()] == [record._replace(host="", attributes={})]


def test_a_line_says_its_version(tmp_path: Path) -> None:
    with NdjsonChest(f"ndjson:{tmp_path}/a.ndjson") as chest:
        chest.write([make_record()])
    assert decode((tmp_path / "a.ndjson").read_bytes())["version"] == VERSION


@every_release
def test_documents_of_mongodb_are_read(release: Path) -> None:
    documents = loads((release / "documents.json").read_text())
    stored = [stored_record_of(document) for document in documents]
    assert same_fields([each.record for each in stored if each is not None], records_of(release))


def test_documents_of_another_release_are_read_by_the_names_of_their_fields() -> None:
    record = make_record()
    (document,) = documents_of([record], 1, datetime.now(UTC))
    document["zone"] = document.pop("host")
    stored = stored_record_of(document)
    assert stored is not None
    assert stored.record == record._replace(host="")
    del document["request_id"]
    assert stored_record_of(document) is None
