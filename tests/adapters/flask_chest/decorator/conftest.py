"""An application whose views are decorated, and where their records go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask_chest import FlaskRecorder
from flask_chest.chests import FlaskChest
from flask_chest.decorator import recorders_of

from chest.chests.memory import MemoryChest
from tests.support import wait_until


class KeepingChest(FlaskChest):
    """Keeps what it is written."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.kept: list[Any] = []

    def write(self, context_tuple_list: Any) -> None:
        self.kept.append(context_tuple_list)


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path / "rings"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def app() -> Iterator[Flask]:
    """A plain Flask application, as Flask-Chest decorates them."""
    app = Flask("shop")
    yield app
    for recorder in recorders_of(app):
        recorder.close()


@pytest.fixture
def keeping() -> KeepingChest:
    return KeepingChest()


@pytest.fixture
def memory() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def requests() -> MemoryChest:
    """Where the records of whole requests go."""
    return MemoryChest()


@pytest.fixture
def recorded(app: Flask, requests: MemoryChest) -> Iterator[FlaskRecorder]:
    """The extension on the application."""
    recorder = FlaskRecorder(app, chests=[requests], service="shop")
    yield recorder
    for each in recorders_of(app):
        each.close()
    app.extensions["chest"].recorder.close()


def flush(app: Flask) -> None:
    for recorder in recorders_of(app):
        wait_until(recorder.flush)  # a slow disk has records wait in the spool for a while
    if "chest" in app.extensions:
        wait_until(app.extensions["chest"].recorder.flush)


def get(app: Flask, path: str = "/", method: str = "GET", **options: Any) -> Any:
    return app.test_client().open(path, method=method, **{"buffered": True, **options})


def set_two(app: Flask, decorator: Callable[[Any], Any], **options: Any) -> None:
    """A view that sets ``user_id`` and ``plan``."""

    def index() -> str:
        g.user_id, g.plan = "123", "premium"
        return "hello"

    app.add_url_rule("/", view_func=decorator(index), methods=["GET", "POST"], **options)
