"""``client_address``: what honest proxies, odd servers and attackers send, each with the known truth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest import SettingsError, client_address
from chest.request.client import address
from chest.request.client.address import ADDRESS, ClientAddress, with_address
from chest.settings.trusted_proxies import TrustedProxies
from tests.request.middleware.client import Client, hello
from tests.support import examples

TRUSTED = ("127.0.0.0/8", "10.0.0.0/8", "::1/128", "fd00::/8", "unix")
FOR = "X-Forwarded-For"

CASES = {
    "honest, one proxy": ("10.0.0.1", FOR, "203.0.113.5", "203.0.113.5"),
    "spoofed, one appending proxy": ("10.0.0.1", FOR, "1.2.3.4, 203.0.113.5", "203.0.113.5"),
    "two proxies, appending": ("10.0.0.1", FOR, "203.0.113.5, 10.0.0.2", "203.0.113.5"),
    "two proxies, spoofed": ("10.0.0.1", FOR, "1.2.3.4, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
    "no proxy, spoofed": ("203.0.113.5", FOR, "1.2.3.4", "203.0.113.5"),
    "spoofed with what is no address": ("10.0.0.1", FOR, "<script>, 203.0.113.5", "203.0.113.5"),
    "with a port (Azure)": ("10.0.0.1", FOR, "203.0.113.5:4711", "203.0.113.5"),
    "IPv6": ("10.0.0.1", FOR, "2001:db8::1", "2001:db8::1"),
    "IPv6 with brackets and port": ("10.0.0.1", FOR, "[2001:db8::1]:4711", "2001:db8::1"),
    "IPv4 mapped into IPv6": ("::ffff:10.0.0.1", FOR, "::ffff:203.0.113.5", "203.0.113.5"),
    "unix socket (gunicorn)": ("", FOR, "203.0.113.5", "203.0.113.5"),
    "unix socket, spoofed": ("", FOR, "1.2.3.4, 203.0.113.5", "203.0.113.5"),
    "RFC 7239": ("10.0.0.1", "Forwarded", 'for="[2001:db8::1]:4711";proto=https, for=10.0.0.2', "2001:db8::1"),
    "RFC 7239, spoofed": ("10.0.0.1", "Forwarded", "for=1.2.3.4, for=203.0.113.5;by=10.0.0.1", "203.0.113.5"),
    "RFC 7239, obfuscated": ("10.0.0.1", "Forwarded", "for=_hidden", "10.0.0.1"),
    "all hops are inside (job to API)": ("10.0.0.1", FOR, "10.0.0.9", "10.0.0.9"),
    "empty header": ("10.0.0.1", FOR, "", "10.0.0.1"),
    # beyond the 17 of the study
    "no header": ("10.0.0.1", FOR, None, "10.0.0.1"),
    "unix socket (waitress)": ("localhost", FOR, "203.0.113.5", "203.0.113.5"),
    "unix socket (uWSGI)": ("0.0.0.0", FOR, "203.0.113.5", "203.0.113.5"),
    "unix socket (Werkzeug)": ("<local>", FOR, "203.0.113.5", "203.0.113.5"),
    "an address that no host has": ("10.0.0.1", FOR, "203.0.113.5, 0.0.0.0", "10.0.0.1"),
    "unix socket (nginx)": ("10.0.0.1", FOR, "203.0.113.5, unix:", "10.0.0.1"),
    "no address at all": ("lorem", FOR, "203.0.113.5", None),
    "zone": ("fe80::1%eth0", FOR, None, "fe80::1"),
    "a header of one address": ("10.0.0.1", "X-Real-IP", "203.0.113.5", "203.0.113.5"),
    "brackets that do not end": ("10.0.0.1", FOR, "[2001:db8::1", "10.0.0.1"),
    "what follows brackets": ("10.0.0.1", FOR, "[2001:db8::1]x", "10.0.0.1"),
    "RFC 7239, capitals and other parameters": ("10.0.0.1", "Forwarded", 'proto=http;For="203.0.113.5:80"', "203.0.113.5"),
    "RFC 7239, escaped": ("10.0.0.1", "Forwarded", r'for="203.0.113\.5"', "203.0.113.5"),
    "RFC 7239, comma in quotes": ("10.0.0.1", "Forwarded", 'for=203.0.113.5;host="a, for=1.2.3.4"', "203.0.113.5"),
    "RFC 7239, escaped quote and comma": ("10.0.0.1", "Forwarded", r'for=203.0.113.5;host="a\", for=1.2.3.4;x=\"b"', "203.0.113.5"),
    "RFC 7239, a quote that the client opens": ("10.0.0.1", "Forwarded", 'for=1.2.3.4;x=", for=203.0.113.5', "203.0.113.5"),
    "RFC 7239, a quote that swallows a quote": ("10.0.0.1", "Forwarded", 'for=1.2.3.4;x=", for="[2001:db8::1]:4711"', "2001:db8::1"),
    "RFC 7239, unknown": ("10.0.0.1", "Forwarded", "for=203.0.113.5, for=unknown", "10.0.0.1"),
    "RFC 7239, nobody": ("10.0.0.1", "Forwarded", "for=203.0.113.5, proto=https", "10.0.0.1"),
    "RFC 7239, a parameter without a name": ("10.0.0.1", "Forwarded", "for=203.0.113.5;=x", "10.0.0.1"),
    "RFC 7239, said twice": ("10.0.0.1", "Forwarded", "for=203.0.113.5;for=1.2.3.4", "10.0.0.1"),
}  # fmt: skip


def environ_of(peer: str | None, header: str, value: Any) -> dict[str, Any]:
    environ: dict[str, Any] = {} if peer is None else {"REMOTE_ADDR": peer}
    return environ if value is None else {**environ, "HTTP_" + header.upper().replace("-", "_"): value}


@pytest.mark.parametrize("name", CASES)
def test_the_address_is_the_one_that_the_last_trusted_proxy_saw(name: str) -> None:
    peer, header, value, truth = CASES[name]
    assert client_address(environ_of(peer, header, value), TRUSTED, header) == truth


def test_nothing_is_trusted_by_default_and_a_unix_socket_only_if_that_is_said() -> None:
    for peer in ("10.0.0.1", "127.0.0.1", "::1"):
        assert client_address(environ_of(peer, FOR, "203.0.113.5")) == peer
    assert client_address(environ_of("", FOR, "203.0.113.5")) is None
    assert client_address(environ_of("", FOR, "203.0.113.5"), ["10.0.0.0/8"]) is None
    assert client_address(environ_of(None, FOR, "203.0.113.5"), ["unix"]) == "203.0.113.5"


def test_only_the_named_header_is_looked_at() -> None:
    environ = environ_of("10.0.0.1", FOR, "1.2.3.4") | {
        "HTTP_X_REAL_IP": "203.0.113.5",
        "HTTP_FORWARDED": "for=1.1.1.1",
    }
    assert client_address(environ, TRUSTED, "X-Real-IP") == "203.0.113.5"


@pytest.mark.parametrize(
    ("hops", "value", "truth"),
    [
        (0, "203.0.113.5", "198.51.100.7"),
        (1, "1.2.3.4, 203.0.113.5", "203.0.113.5"),
        (2, "1.2.3.4, 203.0.113.5, 198.51.100.9", "203.0.113.5"),
        (3, "203.0.113.5", "203.0.113.5"),
        (2, "203.0.113.5, lorem", "198.51.100.7"),
        ("1", "203.0.113.5", "203.0.113.5"),
    ],
)
def test_a_number_of_proxies_is_counted_from_the_right(hops: int | str, value: str, truth: str) -> None:
    assert client_address(environ_of("198.51.100.7", FOR, value), hops) == truth


def test_a_number_of_proxies_says_that_a_unix_socket_is_one() -> None:
    assert client_address(environ_of("", FOR, "203.0.113.5"), 1) == "203.0.113.5"


def test_trusted_networks_judge_the_server_s_peer_and_not_what_proxyfix_made_of_it() -> None:
    fixed = environ_of("1.2.3.4", FOR, "1.2.3.4, 203.0.113.5")
    fixed["werkzeug.proxy_fix.orig"] = {"REMOTE_ADDR": "10.0.0.1"}
    assert client_address(fixed, TRUSTED) == "203.0.113.5"
    assert client_address(fixed) == "1.2.3.4"  # nothing is said here, so ProxyFix's answer stays


def test_a_network_of_mapped_addresses_is_one_of_ipv4() -> None:
    assert client_address(environ_of("10.0.0.1", FOR, "203.0.113.5"), ["::ffff:10.0.0.0/104"]) == "203.0.113.5"


@pytest.mark.parametrize("trusted", [["10.0.0.1/8"], ["lorem"], [7], -1, 33, True, "10.0.0.0/8,x", [None]])
def test_what_is_not_a_network_is_refused(trusted: Any) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies: "):
        client_address({}, trusted)


_texts = st.one_of(
    st.text(max_size=80),
    st.text(alphabet='for=";,[]:.\\ 0123456789abc_%', max_size=400),
    st.lists(st.sampled_from(["10.0.0.1", 'for="', "for=10.0.0.2", '"', ";", ",", "\\", "unix:", "[::1]:80", " " * 9]), max_size=90).map("".join),
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(st.none(), _texts), _texts, st.sampled_from(["Forwarded", FOR]), st.sampled_from([TRUSTED, 1, 5, ()]))
def test_no_header_raises_and_the_answer_is_an_address(peer: str | None, value: str, header: str, trusted: Any) -> None:
    found = client_address(environ_of(peer, header, value), trusted, header)
    assert found is None or client_address({"REMOTE_ADDR": found}) == found


@settings(max_examples=examples(200), deadline=None)
@given(_texts, st.sampled_from([(FOR, ", 203.0.113.5"), ("Forwarded", ', for="203.0.113.5:80";proto=https')]))
def test_whatever_a_client_writes_the_address_is_the_one_that_the_proxy_appended(
    written: str, appended: tuple[str, str]
) -> None:
    header, end = appended
    assert client_address(environ_of("10.0.0.1", header, written + end), TRUSTED, header) == "203.0.113.5"


@pytest.mark.parametrize("value", [7, b"203.0.113.5", None])
def test_a_server_that_hands_over_other_than_text_is_survived(value: Any) -> None:
    assert client_address({"REMOTE_ADDR": value, "HTTP_X_FORWARDED_FOR": value}, TRUSTED) is None


@pytest.mark.parametrize("piece", ["10.0.0.1,", 'for=10.0.0.1;x=",', ";", " ", "for=10.0.0.1,", '"\\'])
def test_a_long_header_is_read_to_a_bound(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    for name in ("_pairs_in", "_address_in"):
        function = getattr(address, name)
        monkeypatch.setattr(address, name, lambda text, function=function: (looks.append(text), function(text))[1])
    for header in ("Forwarded", FOR):
        looks.clear()
        client_address(environ_of("10.0.0.1", header, piece * (65536 // len(piece))), TRUSTED, header)
        assert len(looks) <= 32 * 8 + 33
        assert all(len(text or "") <= 1024 for text in looks) or header == FOR


def test_the_record_has_the_address_of_a_request_that_is_recorded() -> None:
    client = Client(with_address(hello, ClientAddress(TrustedProxies(TRUSTED))), exclude_paths=["/excluded"])
    client.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.5")
    client.get("/", REMOTE_ADDR="")
    client.get("/excluded", REMOTE_ADDR="10.0.0.1")
    assert [record.attributes.get(ADDRESS) for record in client.records] == ["203.0.113.5", None]
