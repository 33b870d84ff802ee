"""What the InfluxDB chest makes of an answer, of a failure on the way, and of its URL."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from chest.chests import registry
from chest.chests.influxdb.chest import InfluxChest
from chest.chests.influxdb.line_protocol import timestamp
from chest.chests.registry import open_chest
from chest.errors import ChestError, ChestUnavailable, MissingDependencyError, RecordRejected, SettingsError, TLSRefused
from chest.testing.contract import in_child
from chest.testing.records import make_record
from tests.chests.influxdb.conftest import TOKEN, parsed, refusal, url_of
from tests.recording_server import (
    Received,
    RecordingServer,
    Reply,
    elapsed_seconds,
    recording_server,
    refused_port,
    silent_server,
)

# -- what an answer means ----------------------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_is_sent_in_halves(server: RecordingServer) -> None:
    def limited(request: Received) -> Reply | None:
        return refusal(413, "too large") if len(request.body) > 1200 else Reply()

    with recording_server(reply=limited) as small, InfluxChest(url_of(small)) as chest:
        records = [make_record() for _ in range(16)]
        chest.write(records)
        stored = [line for post in small.posts if len(post.body) <= 1200 for line in parsed(post.content)]
        assert sorted(line.time_ns for line in stored) == sorted(timestamp(each.time_ns, each.id) for each in records)
        with pytest.raises(RecordRejected, match="413"):
            chest.write([make_record(variables={"long": "x" * 2000})])


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 504])
def test_what_may_pass_or_be_mended_makes_records_wait(
    chest: InfluxChest, server: RecordingServer, status: int
) -> None:
    server.reply = refusal(status, "unauthorized access")
    with pytest.raises(ChestUnavailable, match=rf"{status} \(unauthorized access\)"):
        chest.write([make_record()])
    server.reply = Reply()
    chest.write([make_record()])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on(chest: InfluxChest, server: RecordingServer, status: int) -> None:
    server.reply = refusal(status, "slow down", **{"Retry-After": "17"})
    with pytest.raises(ChestUnavailable) as error:
        chest.write([make_record()])
    assert error.value.retry_after == 17
    dates = {"Date": "Thu, 01 Jan 2015 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2015 00:00:30 GMT"}
    server.reply = refusal(status, "slow down", **dates)
    with pytest.raises(ChestUnavailable) as error:
        chest.write([make_record()])
    assert error.value.retry_after == 30


@pytest.mark.parametrize("status", [400, 422])
def test_what_the_server_cannot_read_or_keep_is_refused(
    chest: InfluxChest, server: RecordingServer, status: int
) -> None:
    server.reply = refusal(status, "partial write: points beyond retention policy dropped=1")
    record = make_record()
    with pytest.raises(RecordRejected, match="beyond retention") as error:
        chest.write([record])
    assert error.value.ids == (record.id,)


def test_a_redirect_is_not_followed_with_the_token(chest: InfluxChest, server: RecordingServer) -> None:
    with recording_server() as other:
        server.reply = Reply(status=307, headers={"Location": other.url})
        with pytest.raises(ChestUnavailable, match="redirects"):
            chest.write([make_record()])
        assert other.received == []


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def test_a_port_without_a_listener_is_unavailable() -> None:
    with (
        InfluxChest(f"influxdb://127.0.0.1:{refused_port()}/o/b") as chest,
        pytest.raises(ChestUnavailable, match="refused"),
    ):
        chest.write([make_record()])


def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with silent_server() as port, InfluxChest(f"influxdb://127.0.0.1:{port}/o/b?timeout_seconds=0.2") as chest:
        with pytest.raises(ChestUnavailable, match=r"within 0\.2 s"):
            chest.write([make_record()])
        assert elapsed_seconds(lambda: chest.write([make_record()])) < 2


def test_a_connection_cut_without_an_answer_is_unavailable(chest: InfluxChest, server: RecordingServer) -> None:
    server.replies = [Reply(cut_before=True)]
    with pytest.raises(ChestUnavailable, match="cannot be reached"):
        chest.write([make_record()])
    chest.write([make_record()])


def test_a_kept_connection_that_breaks_under_a_batch_is_made_again(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)]
    chest.write([make_record()])
    assert server.posts[1].body == server.posts[2].body
    assert len({post.connection for post in server.posts}) == 2


def test_a_batch_that_breaks_a_new_connection_too_is_unavailable(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    server.replies = [Reply(cut_before=True)] * 2
    with pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.posts) == 3


def test_a_server_without_tls_is_unavailable_over_https(server: RecordingServer) -> None:
    with (
        InfluxChest(f"influxdb+https://127.0.0.1:{server.port}/o/b?timeout_seconds=2") as chest,
        pytest.raises(TLSRefused),
    ):
        chest.write([make_record()])


def test_one_connection_serves_batch_after_batch(chest: InfluxChest, server: RecordingServer) -> None:
    for _ in range(3):
        chest.write([make_record()])
    assert len({post.connection for post in server.received}) == 1


def test_a_forked_child_uses_no_connection_of_its_parent(chest: InfluxChest, server: RecordingServer) -> None:
    chest.write([make_record()])
    in_child(lambda: [chest.write([make_record()]), chest.close()])
    chest.write([make_record()])
    parent, child, again = (post.connection for post in server.posts)
    assert parent == again != child


def test_threads_may_write_at_once(chest: InfluxChest, server: RecordingServer) -> None:
    threads = [threading.Thread(target=lambda: [chest.write([make_record()]) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.posts) == 40


def test_a_closed_chest_is_opened_by_a_write(chest: InfluxChest, server: RecordingServer) -> None:
    chest.close()
    chest.write([make_record()])
    chest.close()
    chest.close()
    chest.open()
    chest.write([make_record()])
    assert len(server.posts) == 2


# -- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [refusal(400, "writing requires points"), Reply()])
def test_a_check_writes_no_point_and_is_content_where_none_is_missed(
    chest: InfluxChest, server: RecordingServer, reply: Reply
) -> None:
    server.reply = reply
    chest.check()
    assert [parsed(post.content) for post in server.received] == [[]]


@pytest.mark.parametrize(("status", "said"), [(401, "unauthorized"), (404, 'bucket "my-bucket" not found')])
def test_a_check_says_what_is_wrong(chest: InfluxChest, server: RecordingServer, status: int, said: str) -> None:
    server.reply = refusal(status, said)
    with pytest.raises(ChestUnavailable, match=said):
        chest.check()


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["influxdb://host:8086", "influxdb://host/org", "influxdb:///org/bucket", "influxdb://host/org/a/b",
     "influxdb://host:port/o/b", "influxdb://me:s3cret@host/o/b"],
)  # fmt: skip
def test_a_url_that_names_no_bucket_is_refused_with_the_form(url: str) -> None:
    with pytest.raises(SettingsError, match="influxdb://host:8086/org/bucket") as refused:
        open_chest(url)
    assert "s3cret" not in str(refused.value)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="Did you mean shape"):
        open_chest("influxdb://host/o/b?shapes=request")
    with pytest.raises(SettingsError, match="request and variable"):
        open_chest("influxdb://host/o/b?shape=row")
    with pytest.raises(SettingsError, match="timeout_seconds"):
        open_chest("influxdb://host/o/b?timeout_seconds=0")
    for option in ("most_values=0", "most_values=many", "most_values=9999999", "gzip=perhaps"):
        with pytest.raises(SettingsError, match=option.partition("=")[0]):
            open_chest(f"influxdb://host/o/b?{option}")


@pytest.mark.parametrize("name", ["time", "_field", "_measurement"])
def test_a_tag_of_a_name_that_is_influxdbs_own_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        InfluxChest("influxdb://host/o/b", custom_tags={name: "x"})


def test_the_token_may_come_from_the_environment(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "from-env")
    for url, token in ((url_of(server), "from-env"), (url_of(server, "?token=from-url"), "from-url")):
        with open_chest(url) as chest:
            chest.write([make_record()])
            assert token not in f"{chest!r} {chest.name}"
        assert server.received[-1].headers["authorization"] == f"Token {token}"


def test_names_with_slashes_and_spaces_are_written_as_codes(server: RecordingServer) -> None:
    with open_chest(f"influxdb://127.0.0.1:{server.port}/my%20org/telegraf%2Fautogen") as chest:
        chest.write([make_record()])
    params = dict(server.received[0].params)
    assert (params["org"], params["bucket"]) == ("my org", "telegraf/autogen")


def test_the_token_is_shown_nowhere_though_the_server_repeats_it(
    chest: InfluxChest, server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply = refusal(400, f"bad token {TOKEN}")
    with pytest.raises(ChestError) as error:
        chest.write([make_record()])
    assert TOKEN not in f"{error.value!s} {error.value!r} {chest!r} {caplog.text}"
    assert "***" in str(error.value)


def test_without_the_client_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith(("chest.chests.influxdb.chest", "influxdb_client"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "influxdb_client", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[influx\]'"):
        registry.open_chest("influxdb://host/o/b")


# -- on the way to the server ------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used_as_over_http(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"influxdb://influx.invalid:8086/org/bucket?token={TOKEN}"
    monkeypatch.setenv("http_proxy", f"user:pass@127.0.0.1:{server.port}")
    with InfluxChest(url) as chest:
        chest.check()
        chest.write([make_record()])
    assert {request.target.partition("?")[0] for request in server.received} == {
        "http://influx.invalid:8086/api/v2/write"
    }
    assert {request.headers["proxy-authorization"] for request in server.received} == {"Basic dXNlcjpwYXNz"}
    monkeypatch.setenv("no_proxy", "influx.invalid:8086")
    with InfluxChest(url) as chest, pytest.raises(ChestUnavailable):
        chest.write([make_record()])
    assert len(server.received) == 2


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "ftp://user:hunter2@127.0.0.1:1")
    with InfluxChest("influxdb://influx.invalid:8086/org/bucket") as chest:
        for act in (chest.open, chest.check, lambda: chest.write([make_record()])):
            with pytest.raises(ChestUnavailable, match=r"cannot use the proxy ftp://127\.0\.0\.1:1") as error:
                act()
            assert "hunter2" not in str(error.value)
