"""What the tests of the Flask extension share: an application that is recorded into memory, and its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_chest import FlaskRecorder

from chest import Record, Recorder
from chest.chests.memory import MemoryChest


class Recorded:
    """An application with the extension on it, and what it left."""

    def __init__(self, app: Flask, directory: Path, **options: Any) -> None:
        self.app = app
        self.chest = MemoryChest()
        FlaskRecorder(app, **{"chests": [self.chest], "directory": directory, **options})
        self.client = app.test_client()

    @property
    def recorder(self) -> Recorder:
        recorder: Recorder = self.app.extensions["chest"].recorder
        return recorder

    @property
    def records(self) -> list[Record]:
        """Every record offered so far."""
        assert self.recorder.flush(60)
        return self.chest.records

    @property
    def record(self) -> Record:
        """The only record."""
        [record] = self.records
        return record

    @property
    def told(self) -> dict[str, Any]:
        """The attributes of the only record, without those that each has."""
        usual = ("http.response.body.size", "url.scheme")
        return {name: value for name, value in self.record.attributes.items() if name not in usual}

    @property
    def counts(self) -> dict[str, Any]:
        return self.recorder.stats()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Callable[..., Recorded]]:
    """Puts the extension on an application, with these options."""
    made: list[Recorded] = []

    def record(app: Flask, **options: Any) -> Recorded:
        made.append(Recorded(app, tmp_path / f"rings-{len(made)}", **options))
        return made[-1]

    yield record
    for each in made:
        each.recorder.close()
