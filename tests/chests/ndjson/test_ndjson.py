"""``NdjsonChest``: the contract, what other programs read, and what a killed writer leaves."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest

from chest.chests.contract import ReadableChest
from chest.chests.ndjson.chest import NdjsonChest
from chest.chests.sql.sqlite.chest import SQLiteChest
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SchemaMismatch, SettingsError
from chest.testing.readable_contract import ReadableChestContract
from chest.transfer import Transfer
from tests.processes import run_python
from tests.support import make_record

NAMES = ["records.ndjson", "records.ndjson.gz"]


@pytest.mark.parametrize("file_name", NAMES)
class TestContract(ReadableChestContract):
    @pytest.fixture
    def chest_url(self, tmp_path: Path, file_name: str) -> str:
        return f"ndjson:{tmp_path / file_name}"

    @pytest.fixture
    def chest(self, chest_url: str) -> Iterator[NdjsonChest]:
        with NdjsonChest(chest_url) as chest:
            yield chest

    def test_what_was_read_can_be_removed_and_the_rest_stays(self, chest: ReadableChest) -> None:
        chest.write([make_record()])
        with pytest.raises(ChestError, match="only appended to"):
            chest.remove(chest.read())
        assert chest.remove([]) == 0

    def test_who_follows_misses_nothing_when_the_newest_was_removed(self, chest: ReadableChest) -> None:
        """Nothing is ever removed."""


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    return path


@pytest.fixture
def chest(path: Path) -> NdjsonChest:
    return NdjsonChest(f"ndjson:{path}")


def _write_batches(chest: NdjsonChest) -> None:
    for batch in range(3):
        chest.write([make_record(path=f"/{batch}/{place}", status=None if place else 500) for place in range(50)])


def test_duckdb_reads_all_of_it(chest: NdjsonChest, path: Path) -> None:
    _write_batches(chest)
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT count(*), count(status), count(DISTINCT id), max(stored_at)::TIMESTAMP, any_value(variables.plan)"
            f" FROM '{path}'"
        ).fetchone()
    assert rows is not None
    assert rows[:3] == (150, 3, 150)
    assert rows[4] == "premium"


def test_pandas_reads_all_of_it(chest: NdjsonChest, path: Path) -> None:
    import pandas as pd  # here: all others would wait for it

    _write_batches(chest)
    frame = pd.read_json(path, lines=True)
    assert len(frame) == 150
    assert frame["id"].nunique() == 150
    assert list(frame["path"][:2]) == ["/0/0", "/0/1"]
    assert str(frame["stored_at"].dtype).startswith("datetime64")


def test_what_reads_gzip_reads_it(tmp_path: Path) -> None:
    chest = NdjsonChest(f"ndjson:{tmp_path / 'records.ndjson.gz'}")
    _write_batches(chest)
    with gzip.open(chest.path) as file:
        assert len([json.loads(line) for line in file]) == 150


def test_records_are_carried_away_and_brought_back(chest: NdjsonChest, tmp_path: Path) -> None:
    records = [make_record() for _ in range(120)]
    with (
        SQLiteChest(f"sqlite:///{tmp_path / 'a.sqlite3'}") as source,
        SQLiteChest(f"sqlite:///{tmp_path / 'b.sqlite3'}") as end,
    ):
        source.write(records)
        Transfer(source, chest, batch_records=50).run()
        Transfer(chest, end, batch_records=7, directory=tmp_path / "notes").run()
        assert [stored.record for stored in end.read()] == records


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_batch_that_a_killed_writer_left_unfinished_is_passed_over_and_cut_off(
    chest: NdjsonChest, path: Path, cut: int
) -> None:
    chest.write([make_record(path="a")])
    whole = path.stat().st_size
    chest.write([make_record(path="torn")])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    again = NdjsonChest(f"ndjson:{path}")
    assert [stored.record.path for stored in again.read()] == ["a"]
    assert again.newest() == again.read()[-1].cursor
    again.write([make_record(path="b")])
    assert [stored.record.path for stored in again.read()] == ["a", "b"]
    assert path.stat().st_size < 3 * whole


def test_two_write_to_one_file(chest: NdjsonChest, path: Path) -> None:
    other = NdjsonChest(f"ndjson:{path}")
    for place in range(10):
        (chest, other)[place % 2].write([make_record(path=str(place))])
    assert [stored.record.path for stored in chest.read()] == [str(place) for place in range(10)]


_LIMITED = """
    import base64, os, resource, sys
    from chest.chests.ndjson.chest import NdjsonChest
    from chest.errors import ChestUnavailable
    from tests.support import make_record

    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    chest = NdjsonChest(f"ndjson:{sys.argv[1]}")
    for batch in range(20):
        text = base64.b85encode(os.urandom(3000)).decode()
        try:
            chest.write([make_record(path=f"/{batch}/{place}", variables={"text": text[place:]}) for place in range(10)])
        except ChestUnavailable as error:
            print(error)
            break
"""


def test_a_batch_that_finds_no_room_try_cut_back_and_the_reason_is_told(chest: NdjsonChest, path: Path) -> None:
    chest.write([make_record(path="before")])
    said = run_python(_LIMITED, path, path.stat().st_size + 20_000)
    assert "File too large" in said
    size = path.stat().st_size
    kept = [stored.record.path for stored in chest.read()]
    assert len(kept) % 10 == 1, "part of a batch is there"
    with path.open("rb") as file:
        assert chest._lines.whole_end(file, 0) == size
    chest.write([make_record(path="after")])
    assert [stored.record.path for stored in chest.read()] == [*kept, "after"]


@pytest.mark.parametrize("rotate", ["moved", "copied and emptied", "removed"])
def test_a_file_that_two_write_is_rotated_and_both_go_on(chest: NdjsonChest, path: Path, rotate: str) -> None:
    """One remembers where the old file ended, the other has meanwhile written more into the new one."""
    other = NdjsonChest(f"ndjson:{path}")
    _write_batches(chest)
    other.write([make_record(path="old")])
    if rotate == "moved":
        path.rename(path.with_name("old"))
    elif rotate == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    for _ in range(3):
        _write_batches(other)
    chest.write([make_record(path="new")])
    other.write([make_record(path="newer")])
    chest.write([make_record(path="newest")])
    paths = [stored.record.path for stored in chest.read(limit=10_000)]
    assert len(paths) == 453
    assert paths[-3:] == ["new", "newer", "newest"]


def test_what_was_refused_once_is_not_refused_when_it_has_been_replaced(chest: NdjsonChest, path: Path) -> None:
    chest.write([make_record()])
    whole = path.read_bytes()
    path.write_bytes(b"no lines of Chest" * 100)
    with pytest.raises(ChestError) if path.suffix == ".gz" else nullcontext():
        chest.write([make_record()])
    path.write_bytes(whole)
    chest.write([make_record(path="again")])
    assert chest.read()[-1].record.path == "again"


def test_a_file_is_the_users_alone(chest: NdjsonChest, path: Path) -> None:
    chest.write([make_record()])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_record_that_is_not_json_is_named(chest: NdjsonChest) -> None:
    bad = make_record(variables={"x": {1, 2}})
    with pytest.raises(RecordRejected) as raised:
        chest.write([make_record(), bad])
    assert raised.value.ids == (bad.id,)


def test_a_file_of_another_program_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ndjson.gz"
    content = gzip.compress(b"{}\n")
    path.write_bytes(content)
    with pytest.raises(SchemaMismatch, match="name a new one"):
        NdjsonChest(f"ndjson:{path}").write([make_record()])
    assert path.read_bytes() == content
    lines = tmp_path / "theirs.ndjson"
    lines.write_text("{}\n")
    with pytest.raises(SchemaMismatch, match="not a record of Chest"):
        NdjsonChest(f"ndjson:{lines}").read()


def test_a_damaged_block_is_told(tmp_path: Path) -> None:
    chest = NdjsonChest(f"ndjson:{tmp_path / 'records.ndjson.gz'}")
    chest.write([make_record()])
    content = bytearray(chest.path.read_bytes())
    content[60] ^= 0xFF
    chest.path.write_bytes(content)
    with pytest.raises(SchemaMismatch, match="damaged at byte 0"):
        chest.read()


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChestUnavailable, match="No such file"):
        NdjsonChest(f"ndjson:{tmp_path / 'none.ndjson'}").read()
    with pytest.raises(ChestUnavailable, match="not there or cannot be written"):
        NdjsonChest(f"ndjson:{tmp_path / 'no' / 'none.ndjson'}").check()
    for url in ("ndjson:", "ndjson://host/file", "ndjson:file?x=1"):
        with pytest.raises(SettingsError, match="is a file"):
            NdjsonChest(url)


def test_a_link_to_where_no_file_can_be_made_fails_the_check(tmp_path: Path) -> None:
    link = tmp_path / "records.ndjson"
    link.symlink_to(tmp_path / "missing" / "records.ndjson")

    with pytest.raises(ChestUnavailable, match="missing is not there"):
        NdjsonChest(f"ndjson:{link}").check()
