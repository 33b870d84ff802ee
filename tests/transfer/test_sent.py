"""``Sent``: which ids are remembered, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.chests.contract import Cursor, StoredRecord
from chest.record.record import Outcome, record_key
from chest.transfer import sent as sent_module
from chest.transfer.sent import BLOCK_IDS, Sent
from tests.support import make_record


def _stored(place: Cursor, name: str = "") -> StoredRecord:
    return StoredRecord(place, datetime.now(UTC), make_record(id=name or f"{place:0>32}"))


@given(st.lists(st.integers(1, 40)), st.integers(0, 40))
def test_nothing_is_forgotten_that_is_read_again_and_nothing_is_kept_once_all_is_settled(
    places: list[int], settled: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sent_module, "BLOCK_IDS", 3)
        sent = Sent()
        for place in places:
            sent.add(_stored(place))
        sent.forget([_stored(settled)])
        assert all(f"{place:0>32}" in sent for place in places if place > settled)
        assert len(sent) <= len(set(places))
        sent.forget([_stored(40)])
        assert len(sent) == 0
        assert all(not piece.ids for piece in sent)


def test_pieces_are_full_or_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent()
    for place in range(2 * BLOCK_IDS + 1):
        sent.add(_stored(place))
        sent.add(_stored(place))
    assert [len(piece.ids) for piece in sent] == [BLOCK_IDS, BLOCK_IDS, 1]


def test_a_record_that_turns_up_at_a_higher_place_is_remembered_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_module, "BLOCK_IDS", 1)
    sent = Sent()
    sent.add(_stored(1, "a"))
    sent.full[0].slot = 5
    sent.add(_stored(1, "a"))
    assert sent.full[0].slot == 5
    sent.add(_stored(3, "a"))
    assert sent.full[0].slot is None, "what is kept would forget it too early"
    sent.forget([_stored(2)])
    assert "a" in sent
    sent.forget([_stored(3)])
    assert len(sent) == 0


def test_where_places_are_no_numbers_each_is_forgotten_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_module, "BLOCK_IDS", 2)
    sent = Sent()
    for name in "abc":
        sent.add(_stored(name, name))
    sent.full[0].slot = 5
    sent.forget([_stored("a", "a")])
    assert ("a" in sent, "b" in sent, "c" in sent) == (False, True, True)
    assert sent.full[0].slot is None, "the piece that is kept still has it"
    sent.forget([_stored("b", "b"), _stored("c", "c")])
    assert [piece.ids for piece in sent] == [set()]


def test_where_places_are_no_numbers_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_module, "BLOCK_IDS", 1)
    named, numbered = Sent(), Sent()
    for place in (1, 2):
        named.add(_stored(str(place), str(place)))
        numbered.add(_stored(place))
    named.forget_oldest()
    numbered.forget_oldest()
    assert (len(named), "2" in named, len(numbered)) == (1, True, 2)


def test_a_record_is_told_from_the_note_whose_place_it_took() -> None:
    sent = Sent()
    record = make_record()
    note = record._replace(outcome=Outcome.KILLED)
    sent.add(StoredRecord(1, datetime.now(UTC), note))
    assert (record_key(note) in sent, record_key(record) in sent) == (True, False)
