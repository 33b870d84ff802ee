"""Exceptions of the application: recorded, and raised as the same object with the same traceback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from chest.request.selection import Selection
from tests.protocol.exchange import Recorded, environ_of, serve


class Raising:
    """An application that raises in one place."""

    def __init__(self, place: str, error: BaseException, *, starts: bool = True, closing: bool = True) -> None:
        self.place = place
        self.error = error
        self.starts = starts
        if closing:
            self.close = lambda: self._fail("close")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Raising:
        if self.starts:
            start_response("200 OK", [])
        self._fail("app")
        return self

    def __iter__(self) -> Iterator[bytes]:
        self._fail("iter")
        return self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        self._fail("first chunk")
        yield b"x"
        self._fail("second chunk")

    def _fail(self, place: str) -> None:
        if place == self.place:
            raise self.error


PLACES = ["app", "iter", "first chunk", "second chunk", "close"]


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_is_raised_as_the_same_object_from_the_same_line(place: str) -> None:
    error = LookupError("no such item")
    recorded = Recorded(Raising(place, error))
    exchange = serve(recorded)
    assert exchange.error is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "_fail"
    assert error.__context__ is None
    assert error.__cause__ is None
    record = recorded.record
    assert (record.outcome, record.error) == ("error", "LookupError")
    assert record.attributes["exception.message"] == "no such item"


@pytest.mark.parametrize("place", ["second chunk", "close"])
def test_the_status_that_was_sent_stays_whatever_fails_later(place: str) -> None:
    recorded = Recorded(Raising(place, LookupError()))
    serve(recorded)
    assert recorded.record.status == 200
    assert "chest.status_inferred" not in recorded.record.attributes


@pytest.mark.parametrize("place", ["app", "iter", "first chunk"])
def test_if_nothing_was_sent_the_status_is_the_500_that_the_server_answers(place: str) -> None:
    recorded = Recorded(Raising(place, LookupError()))
    serve(recorded)
    assert recorded.record.status == 500
    assert recorded.record.attributes["chest.status_inferred"] is True


def test_an_error_at_the_close_of_an_empty_body_keeps_its_status() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter(())

        def close(self) -> None:
            raise LookupError

    recorded = Recorded(lambda environ, start_response: start_response("204 No Content", []) and Body())
    serve(recorded)
    assert (recorded.record.status, recorded.record.outcome) == (204, "error")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SystemExit(0), "shutdown"),
        (SystemExit("told to"), "shutdown"),
        (KeyboardInterrupt(), "shutdown"),
        (GeneratorExit(), "client_disconnect"),
    ],
)
def test_what_ends_a_worker_passes_and_is_recorded_wherever_it_strikes(
    place: str, error: BaseException, outcome: str
) -> None:
    recorded = Recorded(Raising(place, error))
    assert serve(recorded).error is error
    assert (recorded.record.outcome, recorded.record.error) == (outcome, type(error).__name__)


def test_an_exception_whose_own_methods_raise_is_raised_as_it_is() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __repr__(self) -> str:
            raise RuntimeError("no text")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not comparable")

        __hash__ = None  # type: ignore[assignment]

    error = Hostile()
    recorded = Recorded(Raising("app", error))
    assert serve(recorded).error is error
    assert recorded.record.error == "Hostile"


def test_no_exception_is_kept_by_the_middleware() -> None:
    """Its traceback would keep every frame of the request, and so its environ."""
    recorded = Recorded(Raising("second chunk", error := LookupError()))
    body = recorded(environ_of(), lambda *_: lambda _: None)
    iterator = iter(body)
    next(iterator)
    with pytest.raises(LookupError):
        next(iterator)
    error.__traceback__ = None
    import gc

    assert [one for one in gc.get_referrers(error) if one is body or one is recorded] == []


# -- leaving WSGI ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StopIteration(), ConnectionError("closed"), BrokenPipeError()])
def test_the_exception_by_which_a_websocket_leaves_passes_by_identity(error: Exception) -> None:
    recorded = Recorded(Raising("app", error, starts=False))
    assert serve(recorded, HTTP_UPGRADE="websocket").error is error
    record = recorded.record
    assert (record.status, record.outcome, record.error) == (None, "upgraded", None)


@pytest.mark.parametrize("error", [StopIteration(), ConnectionError("no database")])
def test_the_same_exception_in_an_ordinary_request_is_an_error(error: Exception) -> None:
    recorded = Recorded(Raising("app", error, starts=False))
    assert serve(recorded).error is error
    record = recorded.record
    assert (record.status, record.outcome, record.error) == (500, "error", type(error).__name__)


def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("400 Bad Request", [])
        return [b"no websocket here"]

    recorded = Recorded(app)
    assert serve(recorded, HTTP_UPGRADE="websocket").text == b"no websocket here"
    assert (recorded.record.status, recorded.record.outcome) == (400, "ok")


class AlreadyHandled:
    """As eventlet's: a body that is told apart by identity, and could be iterated."""

    def __iter__(self) -> AlreadyHandled:
        return self

    def __next__(self) -> bytes:
        raise StopIteration


@pytest.mark.parametrize("sentinel", [AlreadyHandled(), object(), None, b"", ""])
def test_the_sentinel_of_a_server_passes_by_identity(sentinel: Any) -> None:
    recorded = Recorded(lambda environ, start_response: sentinel)
    assert recorded(environ_of(HTTP_UPGRADE="websocket"), lambda *_: lambda _: None) is sentinel
    assert (recorded.record.status, recorded.record.outcome) == (None, "upgraded")


@pytest.mark.parametrize("body", [None, object(), 42])
def test_a_body_that_is_none_is_the_servers_to_refuse(body: Any) -> None:
    recorded = Recorded(lambda environ, start_response: start_response("200 OK", []) and body)
    assert recorded(environ_of(), lambda *_: lambda _: None) is body
    assert recorded.record.outcome == "error"


@pytest.mark.parametrize("body", ["text", {"a": 1}, b"bytes", 7.5])
def test_a_body_of_a_wrong_type_fails_as_it_does_bare(body: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return body

    bare, recorded = serve(app), serve(Recorded(app))
    assert recorded.chunks == bare.chunks
    assert type(recorded.error) is type(bare.error)


def test_a_body_that_is_iterated_by_index_is_a_body() -> None:
    class Sequence:
        def __getitem__(self, index: int) -> bytes:
            return [b"a", b"b"][index]

    recorded = Recorded(lambda environ, start_response: start_response("200 OK", []) and Sequence())
    assert serve(recorded).chunks == [b"a", b"b"]
    assert recorded.record.outcome == "ok"


def test_the_first_error_of_a_request_whose_close_fails_too_is_in_its_record() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            raise LookupError("the cause")

        def close(self) -> None:
            raise OSError("what followed")

    recorded = Recorded(lambda environ, start_response: start_response("200 OK", []) and Body(), Selection(sample=1.0))
    assert str(serve(recorded).error) == "what followed"
    assert recorded.record.error == "LookupError"
