"""The commands on MongoDB, InfluxDB's protocol and HTTP endpoints."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from chest.chests.registry import open_chest
from chest.record.record import Record
from tests.recording_server import RecordingServer, Reply, recording_server
from tests.servers import HOST, Server, free_port

Run = Callable[..., Result]
MakeRecord = Callable[..., Record]


@pytest.fixture
def url(mongodb: Server, record: MakeRecord) -> str:
    """A MongoDB with five records, of ``user_id`` 0 to 4."""
    url = f"mongodb://{HOST}:{mongodb.port}/chest_{uuid.uuid4().hex[:12]}"
    with open_chest(url) as chest:
        chest.write([record(variables={"user_id": str(user)}) for user in range(5)])
    return url


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    monkeypatch.setenv("NO_PROXY", HOST)
    with recording_server() as server:
        yield server


def test_records_in_mongodb_are_found_shown_and_followed(run: Run, url: str) -> None:
    found = run("find", url, "user_id=3")
    assert found.exit_code == 0
    assert "user_id=3" in found.stdout
    request_id = next(word for word in found.stdout.split() if word.startswith("request-"))
    assert "user_id" in run("show", url, request_id).stdout
    assert run("tail", "--no-follow", url).stdout.count("user_id=") == 5


def test_each_kind_of_store_can_be_checked(run: Run, url: str, endpoint: RecordingServer) -> None:
    influx = f"influxdb://{HOST}:{endpoint.port}/org/bucket?token=hunter2"
    result = run("check", url, influx, f"{endpoint.url}/in")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok", "ok", "ok"]
    assert [request.method for request in endpoint.received] == ["POST", "HEAD"]
    assert "hunter2" not in result.output


def test_each_that_cannot_be_written_is_said_with_the_cure(run: Run, endpoint: RecordingServer) -> None:
    endpoint.reply = Reply(status=401)
    result = run(
        "check",
        f"mongodb://me:hunter2@{HOST}:{free_port()}/shop?timeout_seconds=1",
        f"influxdb://{HOST}:{endpoint.port}/org/bucket?token=hunter2",
        f"http://me:hunter2@{HOST}:{endpoint.port}/in",
        "mongodb://me:hunter2@host",
        "influxdb://host/org?token=hunter2",
        "mongo://me:hunter2@host/shop",
    )
    assert result.exit_code == 1
    said = result.stdout.splitlines()
    assert [line.split()[0] for line in said] == ["failed"] * 6
    for line, why in zip(
        said,
        (
            "cannot be reached",
            "check the log-in",
            "check the log-in",
            "names no database",
            "names no bucket",
            "mongodb",
        ),
        strict=True,
    ):
        assert why in line
    assert "hunter2" not in result.output
