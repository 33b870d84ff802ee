"""Each record is a line of ``request.summary``, whole and by itself."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from chest.chests.contract import Chest
from chest.chests.log import LogChest
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable, SettingsError
from chest.record.record import Outcome, Record
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Sanitizer
from chest.testing.contract import ChestContract, in_child
from tests.processes import run_python
from tests.support import make_record, wait_until


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fields_of(record: Record, path: Path, query: str = "") -> dict[str, Any]:
    LogChest(f"log:{path}{query}").write([record])
    fields: dict[str, Any] = lines_of(path)[-1]["Fields"]
    return fields


class TestLogChest(ChestContract):
    @pytest.fixture
    def chest_url(self, tmp_path: Path) -> str:
        return f"log:{tmp_path / 'access.log'}"

    @pytest.fixture
    def chest(self, chest_url: str) -> LogChest:
        return LogChest(chest_url)

    def stored_records(self, chest: Chest) -> list[Record]:
        """As much of the records as a summary has, in records that are otherwise as they were made for the test."""
        path = Path(chest.name.removeprefix("log:"))
        return [make_record(request_id=line["Fields"]["rid"]) for line in lines_of(path)] if path.exists() else []

    # A summary holds no whole record, so these compare the ids alone.

    def test_a_batch_is_stored_whole_and_unchanged(self, chest: Chest) -> None:
        records = [make_record(request_id=f"request-{place}") for place in range(7)]
        chest.write(records)
        assert self._ids(chest) == [record.request_id for record in records]

    def test_the_first_write_opens_the_chest(self, chest: Chest) -> None:
        chest.write([make_record(request_id="first")])
        assert self._ids(chest) == ["first"]

    def test_text_of_every_plane_comes_back_as_it_was(self, chest: Chest) -> None:
        planes = "".join(chr(plane * 0x10000 + offset) for plane in range(17) for offset in (0x61, 0x3042, 0xFFFD))
        chest.write([make_record(request_id=planes)])
        assert self._ids(chest) == [planes]

    def test_the_largest_and_smallest_values_come_back_as_they_were(self, chest: Chest) -> None:
        largest = 2**63 - 1
        chest.write([make_record(request_id="r" * 255, time_ns=largest, duration_ns=largest, path="/" + "ä" * 16384)])
        chest.write(
            [make_record(request_id="", time_ns=0, duration_ns=0, method="", path="", status=None, variables={})]
        )
        assert self._ids(chest) == ["r" * 255, ""]

    def test_whatever_an_application_said_is_stored_once_it_was_made_fit(self, chest: Chest) -> None:
        fit, _ = Sanitizer(Redaction((), ())).clean({"nul": "a\0b", "nan": float("nan"), "object": object()})
        chest.write([make_record(request_id="fit", variables=fit)])
        assert self._ids(chest) == ["fit"]

    def test_ten_thousand_records_are_all_stored(self, chest: Chest) -> None:
        for start in range(0, 10_000, 1000):
            chest.write([make_record(request_id=str(place)) for place in range(start, start + 1000)])
        assert self._ids(chest) == [str(place) for place in range(10_000)]

    def _ids(self, chest: Chest) -> list[str]:
        return [record.request_id for record in self.stored_records(chest)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_a_line_is_the_summary_that_dockerflow_s_users_know(path: Path) -> None:
    record = make_record(
        time_ns=1_700_000_000_000_000_000,
        duration_ns=2_500_000,
        attributes={
            "user_agent.original": "curl/8",
            "http.request.header.accept-language": ["de"],
            "url.query": "page=2",
            "enduser.id": "7",
        },
    )
    LogChest(f"log:{path}").write([record])
    assert lines_of(path) == [
        {
            "Timestamp": 1_700_000_000_002_500_000,
            "Type": "request.summary",
            "Logger": "shop",
            "Hostname": "test",
            "EnvVersion": "2.0",
            "Severity": 6,
            "Pid": os.getpid(),
            "Fields": {
                "errno": 0,
                "agent": "curl/8",
                "lang": "de",
                "method": "GET",
                "path": "/items/1",
                "uid": "7",
                "rid": record.request_id,
                "t": 2,
                "querystring": "page=2",
            },
        }
    ]


def test_what_a_request_did_not_say_is_empty(path: Path) -> None:
    fields = fields_of(make_record(variables={}), path)
    assert (fields["agent"], fields["lang"], fields["uid"]) == ("", "", "")
    assert "querystring" not in fields
    assert "msg" not in fields


def test_the_user_is_what_the_application_recorded_of_one(path: Path) -> None:
    assert fields_of(make_record(variables={"user_id": "123"}), path)["uid"] == "123"


@pytest.mark.parametrize(
    ("changes", "msg"),
    [
        ({"error": "ValueError", "attributes": {"exception.message": "no\nprice"}}, "no\nprice"),
        ({"error": "ValueError"}, "ValueError"),
        ({"status": 503}, "error"),
        ({"outcome": Outcome.WORKER_TIMEOUT}, "worker_timeout"),
    ],
)
def test_a_request_that_failed_is_an_error_with_its_text(changes: dict[str, Any], msg: str, path: Path) -> None:
    fields = fields_of(make_record(**{"outcome": Outcome.ERROR} | changes), path)
    assert (fields["errno"], fields["msg"]) == (500, msg)
    assert lines_of(path)[0]["Severity"] == 3


@pytest.mark.parametrize("outcome", [Outcome.CLIENT_DISCONNECT, Outcome.SHUTDOWN, Outcome.UPGRADED])
def test_what_others_ended_is_not_a_failure(outcome: str, path: Path) -> None:
    assert fields_of(make_record(outcome=outcome), path)["errno"] == 0


def test_variables_are_among_the_fields_where_they_are_asked_for(path: Path) -> None:
    record = make_record(variables={"plan": "free", "errno": 7})
    assert "plan" not in fields_of(record, path)
    fields = fields_of(record, path, "?variables=1")
    assert (fields["plan"], fields["errno"]) == ("free", 0)


def test_the_type_of_the_lines_can_be_named(path: Path) -> None:
    LogChest(f"log:{path}?logger=shop.requests").write([make_record()])
    assert lines_of(path)[0]["Type"] == "shop.requests"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("log:?lagger=x", r"no option \?lagger=\. Did you mean logger\?"),
        ("log:?variables=perhaps", "variables='perhaps'"),
    ],
)
def test_a_parameter_that_is_invalid_is_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_chest(url)


@pytest.mark.parametrize("form", ["log:{}", "log://{}"])
def test_a_file_is_made_for_its_owner_alone(form: str, path: Path) -> None:
    LogChest(form.format(path)).open()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_relative_file_lies_in_the_current_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    LogChest("log:access%20of.log").write([make_record()])
    assert len(lines_of(path.parent / "access of.log")) == 1


def test_a_file_that_was_rotated_is_made_anew(path: Path) -> None:
    chest = LogChest(f"log:{path}")
    chest.write([make_record()])
    path.rename(path.with_suffix(".1"))
    chest.write([make_record(), make_record()])
    assert (len(lines_of(path.with_suffix(".1"))), len(lines_of(path))) == (1, 2)


@pytest.mark.parametrize("kind", ["missing directory", "directory"])
def test_a_file_that_cannot_be_written_is_a_store_that_is_down(kind: str, path: Path) -> None:
    chest = LogChest(f"log:{path.parent}" if kind == "directory" else f"log:{path.parent / 'missing' / 'access.log'}")
    for call in (chest.open, chest.check, lambda: chest.write([make_record()])):
        with pytest.raises(ChestUnavailable, match=r"directory|opened"):
            call()


def test_a_check_makes_no_file(path: Path) -> None:
    LogChest(f"log:{path}").check()
    assert not path.exists()


_WRITER = """
import sys
from chest.chests.log import LogChest
from tests.support import make_record
chest = LogChest("log:")
chest.open()
chest.check()
for number in range(int(sys.argv[2])):
    chest.write([make_record(request_id=f"{sys.argv[1]}-{number}-{place}" + "x" * 150) for place in range(30)])
"""


def test_processes_that_share_a_pipe_as_standard_output_do_not_cut_each_other_s_lines() -> None:
    read, write = os.pipe()
    command = [sys.executable, "-c", _WRITER]
    writers = [subprocess.Popen([*command, name, "20"], stdout=write) for name in ("one", "two", "three")]
    os.close(write)
    with os.fdopen(read) as file:
        lines = file.read().splitlines()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len({json.loads(line)["Fields"]["rid"] for line in lines}) == 3 * 20 * 30


def test_a_pipe_that_is_not_read_is_a_store_that_is_down(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chest.chests.log._TIMEOUT_SECONDS", 0.05)
    os.mkfifo(path)
    chest = LogChest(f"log:{path}")
    with pytest.raises(ChestUnavailable, match="no process reads"):
        chest.write([make_record()])
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ChestUnavailable, match="took nothing"):  # a pipe holds 64 KiB
            chest.write([make_record() for _ in range(5000)])
    finally:
        os.close(reader)


def test_what_was_torn_by_a_full_disk_and_stands_before_lines_of_others_stays_on_a_line_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = os.write
    left = [300]

    def limited(file: int, data: bytes) -> int:
        if left[0] == 0:
            with path.open("ab") as others:
                others.write(b"\n{}")
            raise OSError(errno.ENOSPC, "No space left on device")
        count = written(file, data[: left[0]])
        left[0] -= count
        return count

    chest = LogChest(f"log:{path}")
    records = [make_record(request_id=str(place)) for place in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", limited)
        with pytest.raises(ChestUnavailable, match="No space left"):
            chest.write(records)
    chest.write(records)
    *torn, one, two, three = path.read_text().splitlines()
    assert [json.loads(line)["Fields"]["rid"] for line in (one, two, three)] == ["0", "1", "2"]
    assert sum(map(len, torn)) + len(torn) - 1 == 303


def test_without_a_standard_output_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ChestUnavailable, match="name a file"):
        LogChest("log:").write([make_record()])


def test_a_pipe_as_standard_output_is_written_in_a_forked_child_too() -> None:
    read, write = os.pipe()
    chest = LogChest("log:")

    def in_stdout() -> None:
        os.dup2(write, 1)
        sys.stdout = os.fdopen(1, "w")
        chest.write([make_record(request_id="child")])

    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.append(os.read(read, 65536)))
    reader.start()
    in_child(in_stdout)
    wait_until(lambda: said)
    reader.join()
    os.close(read)
    os.close(write)
    assert json.loads(said[0])["Fields"]["rid"] == "child"


def test_a_line_that_finds_no_room_in_a_file_try_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    code = """
        import resource, sys
        from chest.chests.log import LogChest
        from chest.errors import ChestUnavailable
        from tests.support import make_record

        chest = LogChest(f"log:{sys.argv[1]}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        failures = 0
        for place in range(100):
            try:
                chest.write([make_record(path=f"/{place}")])
            except ChestUnavailable:
                failures += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        chest.write([make_record(path="/after")])
        print(100 - failures)
    """
    written = int(run_python(code, path))
    paths = [line["Fields"]["path"] for line in lines_of(path)]
    assert 0 < written < 100
    assert paths == [*(f"/{place}" for place in range(written)), "/after"]
    assert b"\n\n" not in path.read_bytes()
