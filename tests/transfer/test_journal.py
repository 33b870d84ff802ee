"""``Journal``: what is kept survives the process; two runs do not take each other's pieces away."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chest.chests.contract import StoredRecord
from chest.errors import ChestError
from chest.transfer import sent as sent_module
from chest.transfer.file_coordination import FileCoordinationStore
from chest.transfer.journal import Journal
from chest.transfer.position import Position
from tests.support import make_record


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_module, "BLOCK_IDS", 2)


def _journal(directory: Path) -> Journal:
    return Journal(FileCoordinationStore(directory), "one")


def _send(position: Position, *places: int) -> None:
    for place in places:
        position.sent.add(_stored(place))


def _stored(place: int) -> StoredRecord:
    return StoredRecord(place, datetime.now(UTC), make_record(id=str(place)))


def _remembered(position: Position) -> list[int]:
    return sorted(int(each) for piece in position.sent for each in piece.ids)


def test_full_pieces_are_there_again(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    position = journal.load()
    _send(position, 1, 2, 3)
    journal.save(position)
    _send(position, 4, 5)
    journal.save(position)
    assert _remembered(_journal(tmp_path).load()) == [1, 2, 3, 4, 5]


def test_slots_are_used_again(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    position = journal.load()
    for place in range(0, 40, 2):
        _send(position, place, place + 1)
        journal.save(position)
        position.settled = place + 1
        position.sent.forget([_stored(place + 1)])
        journal.save(position)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_piece_is_not_written_over_before_the_place_that_needs_it_no_more_is_kept(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    position = journal.load()
    _send(position, 1, 2)
    journal.save(position)
    position.sent.forget([_stored(2)])
    _send(position, 3, 4)
    (piece,) = position.sent.full
    journal._keep(piece, set())  # and then the process is killed
    assert _remembered(_journal(tmp_path).load()) == [1, 2]


def test_a_run_that_is_overtaken_leaves_the_pieces_of_the_other_alone(tmp_path: Path) -> None:
    first, second = _journal(tmp_path), _journal(tmp_path)
    ours, theirs = first.load(), second.load()
    _send(ours, 1, 2)
    first.save(ours)
    _send(theirs, 3, 4)
    with pytest.raises(ChestError, match="Another run"):
        second.save(theirs)
    assert _remembered(_journal(tmp_path).load()) == [1, 2]
    _send(ours, 5, 6)
    first.save(ours)
    assert _remembered(_journal(tmp_path).load()) == [1, 2, 5, 6]
    assert len(list(tmp_path.glob("*.json"))) == 3, "the slot of the run that ended is used again"
