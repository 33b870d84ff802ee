"""``chest ui`` serves only the user who started it: token, cookie, Host header."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from chest import SettingsError
from chest.dashboard import ChestPage
from chest.dashboard.loopback import LoopbackServer


@pytest.fixture
def server(page: ChestPage) -> Iterator[LoopbackServer]:
    server = LoopbackServer(page)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.stop()
    server.close()
    thread.join(60)
    assert not thread.is_alive()


def _ask(server: LoopbackServer, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def _token(server: LoopbackServer) -> str:
    return server.url.partition("token=")[2]


def _cookie(server: LoopbackServer) -> str:
    return str(_ask(server, f"/?token={_token(server)}")[1]["Set-Cookie"]).partition(";")[0]


def test_it_listens_on_loopback_alone(server: LoopbackServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


def test_the_token_of_the_first_url_becomes_a_cookie_and_leaves_the_url(server: LoopbackServer) -> None:
    status, headers, body = _ask(server, f"/?filter=a%3D1+b%3D%22%26%22&token={_token(server)}&since=1h")
    assert (status, body) == (303, b"")
    assert headers["Location"] == "/?filter=a%3D1+b%3D%22%26%22&since=1h"
    name, *attributes = headers["Set-Cookie"].split("; ")
    assert name.startswith(f"chest_{urlsplit(server.url).port}=")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_token_is_good_for_one_use_and_then_a_new_url_is_told(page: ChestPage) -> None:
    told: list[str] = []
    server = LoopbackServer(page, tell=told.append)
    threading.Thread(target=server.serve, daemon=True).start()
    first = server.url
    token = _token(server)
    cookie = _cookie(server)
    assert token not in cookie
    assert _ask(server, f"/?token={token}")[0] == 403
    assert _ask(server, "/", Cookie=f"{cookie.partition('=')[0]}={token}")[0] == 403
    assert told == [server.url]
    assert server.url != first
    assert _cookie(server) == cookie
    assert len(told) == 2
    server.stop()
    server.close()


def test_a_browser_that_has_the_cookie_is_let_in_with_a_token_that_was_used(server: LoopbackServer) -> None:
    token, cookie = _token(server), _cookie(server)
    status, headers, _ = _ask(server, f"/health?token={token}", Cookie=cookie)
    assert (status, headers["Location"]) == (303, "/health")


def test_with_the_cookie_the_page_is_shown(server: LoopbackServer) -> None:
    cookie = _cookie(server)
    assert _ask(server, "/", Cookie=cookie)[0] == 200
    assert _ask(server, "/api/top", Cookie=f"other=1; {cookie}; third")[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/records", "/static/page.js", "/?token=", "/?token=wrong", "/?token=%ff"])
def test_without_the_token_nothing_is_shown(server: LoopbackServer, path: str) -> None:
    for headers in ({}, {"Cookie": "chest_1=x"}, {"Cookie": _cookie(server)[:-1]}, {"Cookie": "\xff=\xff; ="}):
        status, _, body = _ask(server, path, **headers)
        assert status == 403
        assert b"Open the URL that chest ui printed" in body


@pytest.mark.parametrize("host", ["localhost", "evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example"])
def test_another_host_is_refused_with_token_and_cookie(server: LoopbackServer, host: str) -> None:
    cookie = _cookie(server)
    for name in (host, f"{host}:{urlsplit(server.url).port}"):
        if name != urlsplit(server.url).netloc:
            assert _ask(server, f"/?token={_token(server)}", Host=name)[0] == 421
            assert _ask(server, "/api/records", Host=name, Cookie=cookie)[0] == 421


def test_the_redirect_stays_on_this_host(server: LoopbackServer) -> None:
    for path in ("//evil.example/", "/%2Fevil.example/", "///evil.example", "/\\evil.example"):
        location = _ask(server, f"{path}?token={_token(server)}")[1]["Location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\")), path


def test_two_servers_have_a_cookie_and_a_token_each(page: ChestPage) -> None:
    servers = [LoopbackServer(page) for _ in range(2)]
    assert len({_token(server) for server in servers}) == 2
    assert len({urlsplit(server.url).port for server in servers}) == 2
    for server in servers:
        server.close()


def test_a_port_that_is_taken_is_a_clear_error(server: LoopbackServer, page: ChestPage) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(SettingsError, match=rf"port {port} of 127\.0\.0\.1 cannot be had"):
        LoopbackServer(page, port)


def test_silent_connections_do_not_keep_the_others_waiting_for_ever(
    page: ChestPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr("chest.dashboard.loopback._Handler.timeout", 0.2)
    monkeypatch.setattr("chest.dashboard.loopback._MOST_THREADS", 2)
    server: Any = LoopbackServer(page)
    threading.Thread(target=server.serve, daemon=True).start()
    silent = [socket.create_connection(server._server.server_address) for _ in range(4)]
    assert _ask(server, "/")[0] == 403
    for each in silent:
        each.close()
    server.stop()
    server.close()
