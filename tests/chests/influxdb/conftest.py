"""A server that answers as InfluxDB 2 does, and the lines that it was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chest.chests.influxdb.chest import InfluxChest
from tests.recording_server import (
    RecordingServer,
    Reply,
    recording_server,
)

TOKEN = "t0k-en=="


class Line(NamedTuple):
    """A line of the protocol, taken apart as InfluxDB's parser does."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time_ns: int


def parsed(body: bytes) -> list[Line]:
    """The lines of a body whose strings hold no line end."""
    return [_parsed_line(line) for line in body.decode().split("\n") if line and not line.startswith("#")]


def _parsed_line(line: str) -> Line:
    series, rest = _cut(line, " ")
    fields, _, time_ns = rest.rpartition(" ")
    measurement, *tags = _split(series, ",")
    pairs = [_split(tag, "=") for tag in tags]
    assert all(len(pair) == 2 and all(pair) for pair in pairs), line
    return Line(
        _plain(measurement),
        {_plain(name): _plain(value) for name, value in pairs},
        {_plain(name): _field(value) for name, value in (_cut(field, "=") for field in _split(fields, ","))},
        int(time_ns),
    )


def _cut(text: str, mark: str) -> tuple[str, str]:
    first = _split(text, mark)[0]
    return first, text[len(first) + 1 :]


def _split(text: str, mark: str) -> list[str]:
    """Split at marks that are neither escaped nor inside a string."""
    return [part for part in re.findall(rf'((?:\\.|"(?:\\.|[^"\\])*"|[^{mark}\\])*)(?:{mark}|\Z)', text) if part]


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def _field(text: str) -> Any:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


@pytest.fixture(autouse=True)
def _no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFLUXDB_TOKEN", raising=False)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


def url_of(server: RecordingServer, options: str = "") -> str:
    return f"influxdb://127.0.0.1:{server.port}/my-org/my-bucket{options}"


@pytest.fixture
def chest(server: RecordingServer) -> Iterator[InfluxChest]:
    with InfluxChest(url_of(server), token=TOKEN, custom_tags={"app": "shop front"}) as chest:
        yield chest


def refusal(status: int, message: str, **headers: str) -> Reply:
    """As InfluxDB 2 says no."""
    return Reply(status=status, headers=headers, body=json.dumps({"code": "invalid", "message": message}).encode())
