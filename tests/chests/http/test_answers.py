"""What the HTTP chest makes of an answer, of a failure on the way, and of its URL."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from chest.chests import registry
from chest.chests.http.chest import HttpChest
from chest.chests.registry import open_chest
from chest.chests.store_identity import store_identity
from chest.errors import (
    ChestError,
    ChestUnavailable,
    MissingDependencyError,
    RecordRejected,
    SettingsError,
    UnknownHost,
)
from chest.testing.records import make_record
from tests.recording_server import (
    RecordingServer,
    Reply,
    elapsed_seconds,
    recording_server,
    refused_port,
    silent_server,
)

# -- what an answer means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_success_unless_said_otherwise(chest: HttpChest, server: RecordingServer, status: int) -> None:
    server.reply = Reply(status=status)
    chest.write([make_record()])


def test_only_the_named_statuses_are_success(server: RecordingServer) -> None:
    server.replies = [Reply(status=200), Reply(status=404), Reply(status=201)]
    with HttpChest(server.url, success_status_codes=[200, 404]) as chest:
        chest.write([make_record()])
        chest.write([make_record()])
        with pytest.raises(RecordRejected, match="201"):  # it has them: trying again would double them for ever
            chest.write([make_record()])


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 408, 415, 425, 429, 500, 502, 503, 507])
def test_what_may_pass_or_be_mended_makes_records_wait(chest: HttpChest, server: RecordingServer, status: int) -> None:
    server.reply = Reply(status=status, body=b"reason 17")
    with pytest.raises(ChestUnavailable, match=rf"{status} \(reason 17\)") as error:
        chest.write([make_record()])
    assert error.value.retry_after is None
    server.reply = Reply()
    chest.write([make_record()])


@pytest.mark.parametrize("status", [400, 409, 413, 422, 431])
def test_any_other_4xx_refuses_the_batch(chest: HttpChest, server: RecordingServer, status: int) -> None:
    server.reply = Reply(status=status)
    with pytest.raises(RecordRejected) as error:
        chest.write([make_record()])
    assert error.value.ids == ()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on_in_seconds_or_as_a_date(
    chest: HttpChest, server: RecordingServer, status: int
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    for header, low, high in (("17", 17, 17), (soon, 80, 90), ("soon", None, None), ("99999999", 3600, 3600)):
        server.reply = Reply(status=status, headers={"Retry-After": header})
        with pytest.raises(ChestUnavailable) as error:
            chest.write([make_record()])
        if low is None:
            assert error.value.retry_after is None
        else:
            assert error.value.retry_after is not None
            assert low <= error.value.retry_after <= high


@pytest.mark.parametrize("ahead", [timedelta(hours=-2), timedelta(hours=2)])
def test_a_date_to_retry_after_is_counted_from_the_answers_own_date(
    chest: HttpChest, server: RecordingServer, ahead: timedelta
) -> None:
    now = datetime.now(UTC) + ahead
    headers = {"Date": format_datetime(now, usegmt=True)}
    headers["Retry-After"] = format_datetime(now + timedelta(seconds=90), usegmt=True)
    for text in (headers["Retry-After"], headers["Retry-After"].removesuffix(" GMT")):
        server.reply = Reply(status=503, headers=headers | {"Retry-After": text})
        with pytest.raises(ChestUnavailable) as error:
            chest.write([make_record()])
        assert error.value.retry_after == 90


def test_an_answers_text_is_shown_short_and_without_control_characters(
    chest: HttpChest, server: RecordingServer
) -> None:
    server.reply = Reply(status=400, body=b"no\r\n\x1b[31mgood " + b"x" * 5000)
    with pytest.raises(RecordRejected) as error:
        chest.write([make_record()])
    assert str(error.value).isprintable()
    assert "no [31mgood xxx" in str(error.value)
    assert len(str(error.value)) < 600


def test_an_endless_answer_is_not_read_to_its_end(server: RecordingServer) -> None:
    server.reply = Reply(status=200, body=b"x" * 5_000_000)
    with HttpChest(server.url) as chest:
        chest.write([make_record()])
        chest.write([make_record()])
    assert len({post.connection for post in server.posts}) == 2


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def test_a_port_without_a_listener_is_unavailable() -> None:
    with HttpChest(f"http://127.0.0.1:{refused_port()}") as chest, pytest.raises(ChestUnavailable, match="refused"):
        chest.write([make_record()])


def test_an_unknown_host_is_unavailable() -> None:
    with HttpChest("http://no-such-host.invalid") as chest, pytest.raises(UnknownHost):
        chest.write([make_record()])


def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with silent_server() as port, HttpChest(f"http://127.0.0.1:{port}/?timeout_seconds=0.2") as chest:
        with pytest.raises(ChestUnavailable, match=r"within 0\.2 s"):
            chest.write([make_record()])
        assert elapsed_seconds(lambda: chest.write([make_record()])) < 2


def test_a_server_that_drips_its_answer_is_given_up() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ending = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                while not ending.wait(0.05):
                    try:
                        connection.sendall(b".")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with HttpChest(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3) as chest:
            assert elapsed_seconds(lambda: chest.write([make_record()])) < 5
        ending.set()
        thread.join(5)


def test_a_connection_cut_without_an_answer_is_unavailable(chest: HttpChest, server: RecordingServer) -> None:
    server.replies = [Reply(cut_before=True)]
    with pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    chest.write([make_record()])


def test_an_untrusted_certificate_is_refused_unless_told_to_trust_it(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with recording_server(tls=context) as server:
        with HttpChest(server.url) as chest, pytest.raises(ChestUnavailable, match=r"(?i)certificate"):
            chest.write([make_record()])
        assert server.received == []
        with HttpChest(server.url, verify=f"{certificate}.crt") as chest:
            chest.write([make_record()])
        with HttpChest(server.url, verify=False) as chest:
            chest.write([make_record()])
        assert len(server.received) == 2


def test_a_proxy_is_used_where_one_is_named_and_not_for_hosts_that_are_exempt(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpChest("http://collector.invalid/in", proxies={"http": server.url}) as chest:
        chest.write([make_record()])
    assert server.received[0].target == "http://collector.invalid/in"
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with HttpChest("http://collector.invalid/in") as chest:
        chest.write([make_record()])
    monkeypatch.setenv("NO_PROXY", ".invalid")
    with HttpChest("http://collector.invalid/in") as chest, pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.received) == 2


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_in_the_environment_needs_no_scheme_and_gets_its_log_in(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"us%65r:p%40ss@127.0.0.1:{server.port}")
    with HttpChest("http://collector.invalid/in") as chest:
        chest.write([make_record()])
    assert server.received[0].target == "http://collector.invalid/in"
    assert server.received[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()


@pytest.mark.parametrize("value", ["ftp://127.0.0.1:3128", "socks9://127.0.0.1"])
def test_a_proxy_that_cannot_be_used_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("http_proxy", value.replace("//", "//user:hunter2@"))
    with HttpChest("http://collector.invalid/in") as chest:
        for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(ChestUnavailable, match=f"cannot use the proxy {value} .*no_proxy") as error:
                act()
            assert "hunter2" not in str(error.value)


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://", "http:///in", "https://ho st/", "http://host:port/", "http://[::1/in", "http://u:s3cret@/x"]
)
def test_a_url_that_is_not_an_address_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="https://host/path") as refusal:
        open_chest(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("parameter", ["format=xml", "gzip=yes", "timeout_seconds=0", "timeout_seconds=ten"])
def test_an_option_that_is_invalid_is_refused(parameter: str) -> None:
    with pytest.raises(SettingsError, match=parameter.split("=")[0]):
        open_chest(f"http://host/in?{parameter}")


def test_a_header_that_would_break_the_request_is_refused_without_its_value() -> None:
    with pytest.raises(SettingsError, match="X-Api-Key") as refusal:
        HttpChest("http://host/", headers={"X-Api-Key": "s3cret\r\nX-Other: 1"})
    assert "s3cret" not in str(refusal.value)


def test_a_secret_that_the_endpoint_repeats_is_shown_nowhere(
    server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ["hunter2", "t0ken", "k3y", "param3ter", "c00kie"]
    server.reply = Reply(status=400, body=" ".join(secrets).encode())
    chest = HttpChest(
        f"http://user:hunter2@127.0.0.1:{server.port}/in?access_token=t0ken",
        headers={"Cookie": "c00kie", "X-Api-Key": "k3y"},
        params={"sig": "param3ter"},
    )
    other = HttpChest(server.url, headers={"Authorization": "Bearer hunter2"})
    for each in (chest, other):
        with each, pytest.raises(ChestError) as error:
            each.write([make_record()])
        shown = f"{error.value!s} {each!r} {each.name} {caplog.text}"
        assert "***" in str(error.value)
        for secret in secrets if each is chest else ["hunter2"]:
            assert secret not in shown


def test_a_name_without_a_password_is_a_key_and_not_shown(server: RecordingServer) -> None:
    server.reply = Reply(status=400, body=b"no k3y")
    with HttpChest(f"http://k3y@127.0.0.1:{server.port}/in") as chest, pytest.raises(RecordRejected) as error:
        chest.write([make_record()])
    assert "k3y" not in f"{error.value} {chest!r} {chest.name}"
    assert server.received[0].headers["authorization"] == "Basic " + base64.b64encode(b"k3y:").decode()


def test_a_chest_may_have_a_name_of_its_own() -> None:
    chest = HttpChest("https://hooks.example/T00/B00/s3cretpath", name="team hook")
    assert repr(chest) == "<HttpChest team hook>"


def test_tenants_at_one_address_have_a_store_each() -> None:
    url = "https://collector.example/in"
    chests = [
        HttpChest(url),
        HttpChest(url, headers={"X-Tenant": "s3cret-shop"}),
        HttpChest(url, headers={"X-Tenant": "s3cret-blog"}),
        HttpChest(url, params={"tenant": "s3cret-blog"}),
        HttpChest(f"{url}?part=1#top", params={"tenant": "s3cret-blog"}),
        HttpChest(f"{url}?part=1#top", params={"tenant": "s3cret-shop"}),
        HttpChest("https://shop:s3cret@collector.example/in"),
        HttpChest("https://blog:s3cret@collector.example/in"),
    ]
    assert len({store_identity(chest.name) for chest in chests}) == len(chests)
    keys = [
        HttpChest(url, headers={"X-Tenant": "shop", "Authorization": f"Bearer {key}"}, params={"token": key}).name
        for key in ("wr0ng", "r1ght")
    ]
    assert keys[0] == keys[1], "a key that is corrected finds what waited for it"
    assert "s3cret" not in f"{chests}"


def test_without_httpx_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    for module in [name for name in sys.modules if name.startswith("chest.chests.http.chest")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[http\]'"):
        registry.open_chest("https://host/in")
