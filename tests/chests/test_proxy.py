"""Which proxy the environment names for an address."""

from __future__ import annotations

import pytest

from chest.chests.proxy import Proxy

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("proxy:3128", "http://proxy:3128", None),
        ("http://proxy:3128/", "http://proxy:3128", None),
        ("https://proxy", "https://proxy", None),
        ("user:p%40ss@proxy:3128", "http://proxy:3128", ("user", "p@ss")),
        ("http://user@[::1]:3128", "http://[::1]:3128", ("user", "")),
    ],
)
def test_a_proxy_is_read_with_and_without_scheme_and_log_in(text: str, url: str, login: tuple[str, str] | None) -> None:
    assert Proxy.of(text) == (url, login)


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_exempt"),
    [
        ("", "db.example", False),
        ("*", "db.example", True),
        ("db.example", "db.example", True),
        ("example", "db.example", True),
        (".example", "db.example", True),
        ("db.example:8086", "db.example", True),
        ("db.example:1", "db.example", False),
        ("other.example, db.example", "db.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[::1]", "::1", True),
        ("::1", "::1", True),
        ("10.0.0.0/8", "db.example", False),
    ],
)
def test_no_proxy_exempts_by_name_suffix_port_address_and_network(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, is_exempt: bool
) -> None:
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("no_proxy", no_proxy)
    assert Proxy.for_address("http", host, 8086) == (None if is_exempt else (PROXY, None))


def test_a_proxy_is_chosen_by_scheme_before_that_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "all.example")
    monkeypatch.setenv("https_proxy", PROXY)
    assert Proxy.for_address("https", "db.example", None) == (PROXY, None)
    assert Proxy.for_address("http", "db.example", None) == ("http://all.example", None)


def test_a_cgi_program_takes_no_proxy_from_a_request_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert Proxy.for_address("http", "db.example", None) is None
