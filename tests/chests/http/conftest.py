"""A server that takes batches, and a chest for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chest.chests.http.chest import HttpChest
from tests.recording_server import (
    RecordingServer,
    recording_server,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine has, loopback is reached without it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as server:
        yield server


@pytest.fixture
def chest(server: RecordingServer) -> Iterator[HttpChest]:
    with HttpChest(f"{server.url}/records") as chest:
        yield chest
