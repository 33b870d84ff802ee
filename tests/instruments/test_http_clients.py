"""Calls by httpx and requests carry the request's id, and are counted and timed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest
import requests

from chest.instruments import instrument_httpx, instrument_requests
from tests.instruments.conftest import Inside
from tests.recording_server import RecordingServer, recording_server

REFUSED = "http://127.0.0.1:9/"
Get = Callable[[str], object]


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


def _by_httpx(**options: bool) -> Get:
    def get(url: str) -> None:
        with httpx.Client() as client:
            instrument_httpx(client, **options)
            client.get(url)

    return get


def _by_async_httpx(**options: bool) -> Get:
    async def get(url: str) -> None:
        async with httpx.AsyncClient() as client:
            instrument_httpx(client, **options)
            await client.get(url)

    return lambda url: asyncio.run(get(url))


def _by_requests(**options: bool) -> Get:
    def get(url: str) -> None:
        with requests.Session() as session:
            instrument_requests(session, **options)
            session.get(url)

    return get


CLIENTS = pytest.mark.parametrize("client", [_by_httpx, _by_async_httpx, _by_requests])


@CLIENTS
def test_a_call_carries_the_id_and_is_counted_also_if_it_fails(
    inside: Inside, server: RecordingServer, client: Callable[..., Get]
) -> None:
    get = client()

    def view() -> None:
        get(server.url)
        get(server.url)
        with pytest.raises((httpx.ConnectError, requests.ConnectionError)):
            get(REFUSED)

    record = inside(view)
    assert [each.headers["x-request-id"] for each in server.received] == ["r-1", "r-1"]
    assert record.variables["http_client_count"] == 3
    assert 0 < record.variables["http_client_ms"] < 60_000


@CLIENTS
def test_either_can_be_left_out(inside: Inside, server: RecordingServer, client: Callable[..., Get]) -> None:
    get = client(hands_on=False, counts=False)
    record = inside(lambda: get(server.url))
    assert "x-request-id" not in server.received[0].headers
    assert record.variables == {}
    get(server.url)
    assert len(server.received) == 2, "outside of a request it is a call like any other"
