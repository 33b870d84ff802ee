"""A user's mistakes are found by mypy and by pyright, before the program runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
from collections.abc import Iterable

from flask import Flask
from flask_chest import FlaskRecorder

from chest import ChestMiddleware, Outcome, OutcomeName, Record, Recorder, context_of, current
from chest.transfer import ScheduledTransfer, ScheduledRetention


def app(environ: dict[str, object], start_response: object) -> Iterable[bytes]:
    context_of(environ)["user_id"] = "123"
    context_of(environ).incremnt("queries")  # wrong
    current().increment("queries", by="two")  # wrong
    return [b""]


def keep(record: Record) -> bool:
    ok: OutcomeName = Outcome.OK
    typo: OutcomeName = "okk"  # wrong
    return record.outcome not in (ok, typo) and record.status != 404


def wsgi(environ, start_response):  # type: ignore[no-untyped-def]
    return [b""]


ChestMiddleware(wsgi, chests=["memory:"], sample=0.5, ring_bytes="16MiB", before_record=keep, delivery="external")
ChestMiddleware(wsgi, tracked_vars={"GET": ["user_id"]}, exclude_paths=["/static/*"], flush_seconds=1, sample=None)
ChestMiddleware(wsgi, flush_secs=1)  # wrong
ChestMiddleware(wsgi, sample="half")  # wrong
ChestMiddleware(wsgi, exclude_path=["/static/*"])  # wrong
ChestMiddleware(wsgi, delivery="somewhere")  # wrong
ChestMiddleware(wsgi, before_record="keep")  # wrong
recorder = Recorder(["memory:"], name="main", scheduled_transfers=[{"to": "memory:b", "every": 300, "outcome": "error"}])
Recorder(sample=0.5)  # wrong
Recorder(scheduled_transfers=[{"to": "memory:b", "evry": 300}])  # wrong
FlaskRecorder(Flask(__name__), g="tracked", sample=0.5).scheduled("memory:b", every=300)
FlaskRecorder(g="some")  # wrong
FlaskRecorder().scheduled("memory:b", evry=300)  # wrong
ScheduledTransfer("memory:a", "memory:b", 300, limit=10, leader="memory:c")
ScheduledTransfer("memory:a", "memory:b", 300, limitt=10)  # wrong
ScheduledRetention("memory:a", 300, max_rows="many")  # wrong
stats = recorder.stats()
waiting: int = stats["ring"]["pending_bytes"] + stats.get("dropped", {}).get("ring_full", 0)
stats["rings"]  # wrong
stats["scheduled_transfers"]["out"]["ticks_behind"] + 1
"""
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
_SECONDS = 800
"""mypy reads everything anew: 10 s of a quiet machine."""


def _run(*command: str, home: Path) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=home,
        env=os.environ | {"HOME": str(home), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert finished.stdout, finished.stderr
    return finished.stdout


def _found_by_mypy(program: Path) -> dict[int, str]:
    said = _run("mypy", "--strict", "--config-file=", "--no-error-summary", program.name, home=program.parent)
    return {int(line): text for line, text in re.findall(rf"^{program.name}:(\d+): error: (.*)$", said, re.MULTILINE)}


def _found_by_pyright(program: Path) -> dict[int, str]:
    said = _run("pyright", "--outputjson", "--pythonpath", sys.executable, program.name, home=program.parent)
    found = json.loads(said)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found if each["severity"] == "error"}


@pytest.mark.timeout(_SECONDS + 20)
@pytest.mark.parametrize("checked", [_found_by_mypy, _found_by_pyright])
def test_the_mistakes_of_a_user_are_found_and_nothing_else(
    checked: Callable[[Path], dict[int, str]], tmp_path: Path
) -> None:
    program = tmp_path / "shop.py"
    program.write_text(PROGRAM)
    found = checked(program)
    lines = PROGRAM.splitlines()
    assert found.keys() == WRONG, {lines[number - 1]: found.get(number) for number in found.keys() ^ WRONG}
