"""In a run of tests nothing is written to the default place: the signs of one, and what holds then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import ROOT, run_python

_SERVES = """
import sys
from chest import MemoryChest, current
from chest.chests import SQLiteChest
before = sys.argv[1]
exec(before)
import flask, flask_chest
app = flask.Flask("shop")
recorder = flask_chest.FlaskRecorder(app)
app.add_url_rule("/", view_func=lambda: "ok")
exec(sys.argv[2])
app.test_client().get("/")
recorder = app.extensions["chest"].recorder
assert recorder.flush(60)
[chest] = recorder.chests
print(type(chest).__name__, recorder.stats()["ring"]["is_durable"], recorder.stats().get("ring_in_memory", 0))
"""


def _served(home: Path, before: str = "", after: str = "", **environ: str) -> list[str]:
    path = f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"
    return run_python(_SERVES, before, after, HOME=str(home), XDG_STATE_HOME="", PYTHONPATH=path, **environ).split()


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


_DJANGO = "import django; from django.conf import settings; settings.configure(); from django.test.utils import setup_test_environment, teardown_test_environment; setup_test_environment()"


@pytest.mark.parametrize(
    ("before", "after", "environ"),
    [
        ("", "", {"PYTEST_VERSION": "8.2.0"}),
        ("", "", {"PYTEST_CURRENT_TEST": "test_shop.py::test_it (call)"}),
        ("", "app.testing = True", {}),
        (_DJANGO, "", {}),
    ],
)
def test_in_a_run_of_tests_records_and_ring_stay_in_memory(
    tmp_path: Path, before: str, after: str, environ: dict[str, str]
) -> None:
    assert _served(tmp_path, before, after, **environ) == ["MemoryChest", "False", "0"]
    assert _files(tmp_path) == []


def test_otherwise_they_are_written_to_the_default_place(tmp_path: Path) -> None:
    over = f"{_DJANGO}; teardown_test_environment()"
    assert _served(tmp_path, over) == ["SQLiteChest", "True", "0"]
    assert "chest.sqlite3" in {path.name for path in _files(tmp_path)}
