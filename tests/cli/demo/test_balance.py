"""The clients' view against the store's."""

from __future__ import annotations

from chest.cli.demo.balance import Balance
from chest.cli.demo.exchange import CLIENT_LEFT, CONNECTION_LOST, Exchange
from chest.record.record import Outcome, Record


def answered(request_id: str | None) -> Exchange:
    return Exchange("GET", "/", request_id, 200)


def unanswered(request_id: str, failure: str) -> Exchange:
    return Exchange("GET", "/export", request_id, None, failure)


def record(request_id: str, outcome: str = Outcome.OK) -> Record:
    return Record("0" * 32, request_id, 1, 1, "GET", "/", "/", 200, outcome, None, {}, {}, "shop", "1", "host")


def test_every_answered_request_stored_once_is_complete() -> None:
    balance = Balance.of([answered("a"), answered("b")], [record("b"), record("a")])
    assert balance.is_complete
    assert (balance.answered, balance.stored, balance.missing, balance.doubled) == (2, 2, (), ())


def test_an_answered_request_without_a_record_is_missing() -> None:
    balance = Balance.of([answered("a"), answered("b")], [record("a")])
    assert balance.missing == ("b",)
    assert not balance.is_complete


def test_an_answered_request_stored_twice_is_not_complete() -> None:
    balance = Balance.of([answered("a")], [record("a"), record("a")])
    assert balance.doubled == ("a",)
    assert not balance.is_complete


def test_two_answers_under_one_id_need_two_records() -> None:
    balance = Balance.of([answered("a"), answered("a")], [record("a")])
    assert balance.missing == ("a",)


def test_an_answer_that_nobody_can_name_is_missing() -> None:
    balance = Balance.of([answered(None)], [])
    assert balance.missing == ("GET / (answered without a request id)",)


def test_unanswered_requests_are_counted_by_what_happened_to_them_and_need_no_record() -> None:
    exchanges = [
        answered("a"),
        unanswered("b", CLIENT_LEFT),
        unanswered("c", CLIENT_LEFT),
        unanswered("d", CONNECTION_LOST),
    ]
    balance = Balance.of(exchanges, [record("a"), record("b", Outcome.CLIENT_DISCONNECT)])
    assert balance.unanswered == {CLIENT_LEFT: 2, CONNECTION_LOST: 1}
    assert balance.unseen == {Outcome.CLIENT_DISCONNECT: 1}
    assert balance.is_complete


def test_nothing_answered_shows_nothing() -> None:
    assert not Balance.of([unanswered("a", CONNECTION_LOST)], []).is_complete
