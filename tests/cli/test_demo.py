"""``chest demo``, as it is typed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.cli.demo import run
from chest.cli.demo.balance import Balance
from chest.cli.demo.command import demo
from chest.record.record import Record

LIMIT_SECONDS = 60
"""On a machine that has much to do; else it takes a tenth of that."""


def chest_demo(*arguments: str) -> Result:
    return CliRunner().invoke(demo, arguments)


def stored(directory: Path) -> list[Record]:
    chest = open_chest(f"sqlite:///{directory}/chest.sqlite3")
    assert isinstance(chest, ReadableChest)
    with chest:
        return [each.record for each in chest.read(limit=10_000)]


class Finished(NamedTuple):
    """A whole run; what it stored; how many seconds it took."""

    result: Result
    directory: Path
    records: list[Record]
    seconds: float


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    directory, begin = tmp_path_factory.mktemp("demo"), time.monotonic()
    result = chest_demo("--dir", str(directory))
    seconds = time.monotonic() - begin
    return Finished(result, directory, stored(directory) if result.exit_code == 0 else [], seconds)


def test_every_answered_request_is_in_the_store_exactly_once(finished: Finished) -> None:
    result, records = finished.result, finished.records
    assert result.exit_code == 0, result.output
    (answered,) = re.findall(r"Every one of the (\d+) answered requests is in the store exactly once\.", result.output)
    (said,) = re.findall(r"Store: +(\d+) records", result.output)
    assert int(answered) > 500 or "The clients' time was over after" in result.output
    assert 0 < int(answered) <= int(said) == len(records)
    assert len({record.request_id for record in records}) == len(records)


def test_it_is_over_in_time(finished: Finished) -> None:
    assert finished.seconds < LIMIT_SECONDS


def test_it_says_in_words_what_it_did(finished: Finished) -> None:
    output = finished.result.output
    assert re.search(r"Serving a shop on http://127\.0\.0\.1:\d+ with gunicorn, 2 workers", output)
    assert re.search(r"Killed worker \d+ with SIGKILL after \d+ requests, while it streamed a response", output)
    assert re.search(r"1 stream cut", output)
    assert "client left mid-stream" in output
    assert "rm -r" not in output  # not ours to be removed


def test_plain_output_has_no_escape_codes_and_no_bar(finished: Finished) -> None:
    assert not re.search(r"\x1b|━|\r", finished.result.output)


def test_every_kind_of_request_is_in_the_table(finished: Finished) -> None:
    for route in ("/items/<int:item_id>", "/cart", "/export", "/search", "/broken", "/feed", "(none)"):
        assert re.search(rf"^{re.escape(route)} +\d+ .*s ", finished.result.output, re.MULTILINE), route


def test_it_ends_with_the_cause_of_slow_requests(finished: Finished) -> None:
    question, _, answer = finished.result.output.partition("compare sqlite:")[2].partition("\n")
    assert "--slower-than 50ms" in question
    row = re.search(r"^item_id +7 +([\d.]+)% +([\d.]+)% ", answer, re.MULTILINE)
    assert row, answer

    def share_of_item_7(*, is_slow: bool) -> float:
        found = [
            record.variables["item_id"] == 7
            for record in finished.records
            if (record.duration_ns > 50_000_000) == is_slow and "item_id" in record.variables
        ]
        return 100 * sum(found) / len(found)

    # A busy machine makes others slow too, and a killed worker ends one early: so how many is for the records to say.
    slow, others = share_of_item_7(is_slow=True), share_of_item_7(is_slow=False)
    assert (float(row[1]), float(row[2])) == pytest.approx((slow, others), abs=0.1)
    assert slow > 10 * others


def test_one_record_is_shown_as_it_is_stored(finished: Finished) -> None:
    result = finished.result
    begin = result.output.index("\n{") + 1
    shown, _ = json.JSONDecoder().raw_decode(result.output[begin:])
    assert shown["variables"]["card_number"] == "[REDACTED]"
    assert shown in [json.loads(json.dumps(record._asdict())) for record in finished.records]


def test_no_ring_and_no_process_is_left(finished: Finished) -> None:
    result, directory = finished.result, finished.directory
    assert list((directory / "ring").glob("*.ring")) == []
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)", result.output)
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", int(port))) != 0


def test_older_records_of_a_directory_are_kept_and_not_counted(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = finished.directory
    before = len(stored(directory))
    monkeypatch.setattr(run, "REQUESTS", 64)
    result = chest_demo("--dir", str(directory))
    assert result.exit_code == 0, result.output
    (said,) = re.findall(r"Store: +(\d+) records", result.output)
    assert int(said) <= 65
    assert len(stored(directory)) == before + int(said)


def test_a_missing_record_is_said_and_the_status_is_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    records_of = run.records_since

    def all_but_a_cart(*arguments: Any) -> list[Record]:
        """As if the record of a request that is answered, and not near the kill, had been lost."""
        records = list(records_of(*arguments))
        records.remove(next(record for record in records if record.route == "/cart"))
        return records

    monkeypatch.setattr(run, "records_since", all_but_a_cart)
    monkeypatch.setattr(run, "REQUESTS", 64)
    result = chest_demo("--dir", str(tmp_path))
    assert result.exit_code == 1
    assert re.search(r"Of the \d+ answered requests, the store lacks 1 \([^ ]+\)\.", result.output)


def test_a_taken_port_is_said_and_the_status_is_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = chest_demo("--port", str(port), "--dir", str(tmp_path))
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in result.stderr


def test_a_directory_that_is_a_file_is_said_and_the_status_is_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = chest_demo("--dir", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "file cannot be used: File exists" in result.stderr


def test_a_store_that_is_not_a_database_is_said_and_the_status_is_2(tmp_path: Path) -> None:
    (tmp_path / "chest.sqlite3").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    result = chest_demo("--dir", str(tmp_path))
    assert result.exit_code == 2
    assert "chest.sqlite3" in result.stderr


@pytest.mark.parametrize("missing", ["flask", "gunicorn"])
def test_without_its_packages_it_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def find_all_but_one(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == missing else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_all_but_one)
    result = chest_demo()
    assert result.exit_code == 2
    assert result.stderr == f"chest demo: {missing} is not installed: pip install 'wsgi-chest[demo]'\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chest", "demo", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = ""
        for line in process.stdout:
            port = port or "".join(re.findall(r"127\.0\.0\.1:(\d+)", line))
            if line.startswith("Sending"):
                break
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    assert errors == "chest demo: interrupted; gunicorn was stopped.\n"
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", int(port))) != 0


def test_it_ends_by_saying_how_to_open_the_page(finished: Finished) -> None:
    said, _, after = finished.result.output.partition("The same in a browser, which --ui opens at once:\n")
    assert after.splitlines()[0].strip().endswith(f"ui sqlite:///{finished.directory}/chest.sqlite3")
    assert said.endswith("\n\n")


def test_with_ui_the_page_is_opened_on_the_store_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Complete:
        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self) -> Balance:
            return Balance(1, Counter(), 1, (), (), Counter())

    shown: list[tuple[object, ...]] = []
    monkeypatch.setattr(run, "Demonstration", Complete)
    monkeypatch.setattr("chest.cli.ui.show", lambda *given, **options: shown.append((*given, options)))
    assert chest_demo("--dir", str(tmp_path), "--ui", "--no-browser").exit_code == 0
    assert shown == [(f"sqlite:///{tmp_path}/chest.sqlite3", [tmp_path / "ring"], {"opens_browser": False})]
    assert chest_demo("--dir", str(tmp_path)).exit_code == 0
    assert len(shown) == 1
