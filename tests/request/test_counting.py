"""A request is counted once and under its own labels, whatever the application says of it: in C and in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chest import current
from chest.request.fields import class_name
from chest.ring.tally.table import Series, table_in_memory
from chest.ring.tally.tally import Tally
from tests.request.middleware.client import Client
from tests.support import ReadyProcess


class Text(str):
    """A text that compares itself with none."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise ValueError("compared")


class Unhashable(str):
    __hash__ = None  # type: ignore[assignment]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    for name, value in environ["told"].items():
        setattr(current(), name, value)
    start_response(environ["status"], [])
    return [b"counted"]


class CountingProcess(ReadyProcess):
    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("tests.request.middleware.client.ReadyProcess", CountingProcess)
    return Client(app)


def counted(client: Client) -> list[Series]:
    return [each for each in table_in_memory(client.process.tally.memory).series if any(each.buckets)]


@pytest.mark.parametrize("route", ["/r", Text("/r"), Unhashable("/r")])
@pytest.mark.parametrize("status", ["404 Not Found", Text("404 Not Found"), Unhashable("404 Not Found")])
def test_texts_that_compare_themselves_are_counted_as_texts(client: Client, route: str, status: str) -> None:
    for _ in range(2):
        client.get(told={"route": route}, status=status)
    client.get(told={"route": "/r"}, status="404 Not Found")
    (series,) = counted(client)
    assert series.labels == ("GET", "/r", "404", "", "")
    assert sum(series.buckets) == len(client.records) == 3
    assert not client.process.counters.totals()


@pytest.mark.parametrize(("route", "labelled"), [(["x"], "['x']"), (7, "7"), (b"/r", "b'/r'")])
def test_a_route_that_is_not_text_is_counted_as_the_record_has_it(client: Client, route: Any, labelled: str) -> None:
    client.get(told={"route": route}, status="200 OK")
    (series,) = counted(client)
    assert series.labels[1] == client.record.route == labelled
    assert not client.process.counters.totals()


@pytest.mark.parametrize("request_id", ["a\0b", Text("own"), 7, "own"])
def test_the_exemplar_has_the_id_of_the_record(client: Client, request_id: Any) -> None:
    client.get(told={"request_id": request_id}, status="200 OK")
    (exemplar,) = [series.exemplar for series in counted(client)]
    kept = client.record.request_id
    assert (exemplar and exemplar.request_id) == (kept if kept.isascii() else None)


def test_an_exception_whose_class_has_a_name_of_its_own_kind_comes_through() -> None:
    kind: type[Exception] = type(Text("Odd"), (Exception,), {})

    def fails(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise kind

    client = Client(fails)
    with pytest.raises(kind):
        client.get()
    assert client.record.error == "Odd"
    assert type(class_name(kind())) is str
