"""What the ClickHouse chest makes of answers that the tests' engine does not give."""

from __future__ import annotations

from contextlib import closing

import pytest

from chest.chests.clickhouse.chest import ClickHouseChest
from chest.chests.clickhouse.server import ClickHouseServer
from chest.chests.clickhouse.table import COLUMNS
from chest.chests.clickhouse.url import ClickHouseTarget
from chest.errors import ChestUnavailable, TLSRefused
from tests.recording_server import Received, Reply, recording_server


def _server(port: int, query: str = "") -> ClickHouseServer:
    return ClickHouseServer(ClickHouseTarget.of(f"clickhouse://me:secret@127.0.0.1:{port}/shop{query}"))


def test_the_password_is_masked_in_messages_and_not_in_what_is_read() -> None:
    with recording_server() as server:
        asked = _server(server.port)
        server.replies = [Reply(200, {}, b'["/secret/santa"]\n'), Reply(500, {}, b"Code: 1. no secret here")]
        assert asked.rows("SELECT 1") == [["/secret/santa"]]
        with pytest.raises(ChestUnavailable) as failure:
            asked.rows("SELECT 1")
        assert "secret" not in str(failure.value)
        asked.close()


def test_an_answer_that_is_no_rows_is_no_answer_of_a_store() -> None:
    with recording_server() as server:
        server.reply = Reply(200, {}, b"<html>\nPlease log in\n</html>\n")
        asked = _server(server.port)
        with pytest.raises(ChestUnavailable, match="answered 200 with no rows"):
            asked.rows("SELECT 1")
        asked.close()


def test_the_server_is_told_when_nobody_waits_for_rows_any_more() -> None:
    with recording_server() as server:
        server.reply = Reply(200, {}, b"[1]\n")
        asked = _server(server.port, "?timeout_seconds=5")
        assert asked.rows("SELECT 1") == [[1]]
        asked.close()
    assert ("max_execution_time", "10") in server.received[0].params


def test_what_writes_is_sent_to_no_other_host_while_the_first_may_be_at_work() -> None:
    with recording_server() as slow, recording_server() as other:
        slow.reply, other.reply = Reply(200, {}, b"[1]\n", delay_seconds=1.5), Reply(200, {}, b"[2]\n")
        url = f"clickhouse://me:secret@127.0.0.1:{slow.port},127.0.0.1:{other.port}/shop?timeout_seconds=1"
        with closing(ClickHouseServer(ClickHouseTarget.of(url))) as asked:
            with pytest.raises(ChestUnavailable, match="did not answer within 1 s"):
                asked.run("DELETE FROM records WHERE 1")
            assert not other.received
        with closing(ClickHouseServer(ClickHouseTarget.of(url))) as asked:
            assert asked.rows("SELECT 1") == [[2]]
        with closing(ClickHouseServer(ClickHouseTarget.of(url))) as asked:
            assert asked.run("DELETE FROM records WHERE 1", timeout_seconds=60) == "[1]\n"
            assert len(other.received) == 1


@pytest.mark.parametrize("code", [497, 60])
def test_a_user_who_may_not_see_the_server_s_settings_can_open(code: int) -> None:
    columns = "".join(f'["{name}"]\n' for name in ("seq", "time", *COLUMNS))

    def answer(request: Received) -> Reply:
        statement = request.content.decode()
        if "system.tables" in statement:
            return Reply(200, {}, b'["ReplicatedMergeTree", "ReplicatedMergeTree() ORDER BY id"]\n')
        if "system.columns" in statement:
            return Reply(200, {}, columns.encode())
        return Reply(403, {}, f"Code: {code}. DB::Exception: me: Not enough privileges.".encode())

    with (
        recording_server(reply=answer) as server,
        ClickHouseChest(f"clickhouse://me:secret@127.0.0.1:{server.port}/shop") as chest,
    ):
        chest.open()
        assert not chest.notices()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_told(tmp_path: object, content: str | None) -> None:
    path = f"{tmp_path}/ca.pem"
    if content is not None:
        with open(path, "w") as file:
            file.write(content)
    with (
        ClickHouseChest(f"clickhouse+https://db.invalid/shop?ca_file={path}") as chest,
        pytest.raises(TLSRefused, match=r"ca\.pem cannot be used"),
    ):
        chest.check()
