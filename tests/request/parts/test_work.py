"""``recorder.work(...)``: a piece of work that is no request leaves a record as one does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chest import ChestMiddleware, MemoryChest, Record, Recorder, SettingsError, current
from chest.chests import open_chest
from tests.processes import run_python, running_python


@pytest.fixture
def store() -> MemoryChest:
    return MemoryChest()


@pytest.fixture
def recorder(store: MemoryChest, tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(chests=[store], directory=tmp_path, service="shop") as recorder:
        yield recorder


def records_of(recorder: Recorder, store: MemoryChest) -> list[Record]:
    assert recorder.flush(60)
    return store.records


def only_record(recorder: Recorder, store: MemoryChest) -> Record:
    (record,) = records_of(recorder, store)
    return record


def test_work_leaves_a_record_with_what_was_set_in_it(recorder: Recorder, store: MemoryChest) -> None:
    with recorder.work("send_email", request_id="order-42", kind="job") as context:
        context["address"] = "ada@example.com"
        current()["attempt"] = 2
        with current().timer("smtp"):
            pass
    record = only_record(recorder, store)
    assert (record.method, record.path, record.route) == ("JOB", "send_email", "send_email")
    assert (record.status, record.outcome, record.error) == (None, "ok", None)
    assert (record.request_id, record.service) == ("order-42", "shop")
    assert record.variables["attempt"] == 2
    assert record.variables["smtp_count"] == 1
    assert record.duration_ns > 0


def test_each_call_of_a_decorated_function_is_work(recorder: Recorder, store: MemoryChest) -> None:
    @recorder.work("add", kind="job")
    def add(first: int, second: int = 1) -> int:
        """Adds."""
        current()["first"] = first
        return first + second

    assert [add(1), add(2, second=2)] == [2, 4]
    assert add.__doc__ == "Adds."
    first, second = records_of(recorder, store)
    assert [first.variables["first"], second.variables["first"]] == [1, 2]
    assert first.request_id != second.request_id


def test_a_decorated_coroutine_is_work_until_it_ends(recorder: Recorder, store: MemoryChest) -> None:
    @recorder.work("fetch")
    async def fetch(number: int) -> int:
        current()["number"] = number
        await asyncio.sleep(0)
        current().increment("number", 10)
        return number

    async def both() -> list[int]:
        return await asyncio.gather(fetch(1), fetch(2))

    assert asyncio.run(both()) == [1, 2]
    assert sorted(record.variables["number"] for record in records_of(recorder, store)) == [11, 12]


def test_a_generator_function_is_refused_with_what_to_write(recorder: Recorder) -> None:
    with pytest.raises(SettingsError, match=r"generator function: write `with recorder\.work\(\.\.\.\):`"):

        @recorder.work("rows")
        def rows() -> Iterator[int]:
            yield 1


@pytest.mark.parametrize(
    "arguments", [{"name": ""}, {"name": 42}, {"name": "x", "kind": "two words"}, {"name": "x", "kind": 1}]
)
def test_an_invalid_argument_is_refused_at_once(recorder: Recorder, arguments: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        recorder.work(**arguments)


def test_an_exception_goes_on_and_its_record_has_class_and_message(recorder: Recorder, store: MemoryChest) -> None:
    with pytest.raises(ValueError, match="no such address"), recorder.work("send_email"):
        raise ValueError("no such address")
    record = only_record(recorder, store)
    assert (record.outcome, record.error) == ("error", "ValueError")
    assert record.attributes["exception.message"] == "no such address"


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("command", 0, ("ok", None)),
        ("command", None, ("ok", None)),
        ("command", 2, ("error", "SystemExit")),
        ("job", 0, ("shutdown", "SystemExit")),
    ],
)
def test_only_of_a_command_the_exit_code_says_how_it_ended(
    recorder: Recorder, store: MemoryChest, kind: str, code: int | None, told: tuple[str, str | None]
) -> None:
    with contextlib.suppress(SystemExit), recorder.work("import", kind=kind):
        raise SystemExit(code)
    record = only_record(recorder, store)
    assert (record.outcome, record.error) == told


def test_work_within_a_request_has_its_id_and_a_record_of_its_own(recorder: Recorder, store: MemoryChest) -> None:
    def application(environ, start_response):  # type: ignore[no-untyped-def]
        current()["outer"] = True
        with recorder.work("resize", kind="job"):
            current()["inner"] = True
        current()["after"] = True
        start_response("200 OK", [])
        return [b""]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": "order-42", "wsgi.url_scheme": "http"}
    ChestMiddleware(application, recorder=recorder)(environ, lambda *_: None)
    work, request = records_of(recorder, store)
    assert (work.method, work.variables) == ("JOB", {"inner": True})
    assert (request.method, request.variables) == ("GET", {"outer": True, "after": True})
    assert work.request_id == request.request_id == "order-42"


def test_the_context_that_was_current_before_is_current_again(recorder: Recorder) -> None:
    outside = current()
    with recorder.work("outer") as outer:
        with recorder.work("inner") as inner:
            assert current() is inner
            assert inner.request_id == outer.request_id
        assert current() is outer
    assert current() is outside


def test_what_is_written_after_the_work_is_counted(recorder: Recorder, store: MemoryChest) -> None:
    with recorder.work("send_email") as context:
        pass
    context["late"] = 1
    assert only_record(recorder, store).variables == {}
    assert recorder.stats()["late_writes"] == 1


def test_work_in_many_threads_is_kept_apart(recorder: Recorder, store: MemoryChest) -> None:
    @recorder.work("count")
    def count(number: int) -> None:
        current()["number"] = number

    threads = [threading.Thread(target=count, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.variables["number"] for record in records_of(recorder, store)) == list(range(20))


def test_the_selection_of_the_application_holds_for_its_work(store: MemoryChest, tmp_path: Path) -> None:
    app = ChestMiddleware(
        lambda environ, start_response: [], chests=[store], directory=tmp_path, service="shop", redact=["address"],
        before_record=lambda record: record.path != "heartbeat",
        request_id_generator=lambda: "made-1",
    )  # fmt: skip
    with app.recorder.work("heartbeat"):
        pass
    with app.recorder.work("send_email") as context:
        context["address"] = "ada@example.com"
    record = only_record(app.recorder, store)
    app.recorder.close()
    assert (record.variables["address"], record.request_id) == ("[REDACTED]", "made-1")


def test_a_disabled_recorder_leaves_no_record_of_work(store: MemoryChest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_ENABLED", "0")
    with Recorder(chests=[store], service="shop") as recorder, recorder.work("send_email") as context:
        context["address"] = 1
        assert current() is context
    assert store.records == []


_DIES_AT_WORK = """
import os, sys
from chest import Recorder
recorder = Recorder(chests=["sqlite:///" + sys.argv[1] + "/store.sqlite3"], directory=sys.argv[1] + "/ring", service="shop")
with recorder.work("done before"):
    pass
with recorder.work("send_email", request_id="order-42", kind="job"):
    print("working", flush=True)
    sys.stdin.readline()
"""


def test_work_whose_process_is_killed_leaves_a_record_that_says_so(tmp_path: Path) -> None:

    with running_python(_DIES_AT_WORK, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    run_python(
        "import sys; from chest.cli.main import main; main()",
        "recover",
        tmp_path / "ring",
        CHEST_URLS=f"sqlite:///{tmp_path}/store.sqlite3",
    )
    with open_chest(f"sqlite:///{tmp_path}/store.sqlite3") as chest:
        found = {stored.record.path: stored.record for stored in chest.read()}
    assert found["done before"].outcome == "ok"
    killed = found["send_email"]
    assert (killed.outcome, killed.method, killed.request_id) == ("killed", "JOB", "order-42")


_DJANGO = """
import sys
from django.conf import settings
settings.configure()
import django
django.setup()
from django.core.management import BaseCommand, call_command
from chest import MemoryChest, Recorder, current
store = MemoryChest()
recorder = Recorder(chests=[store], directory=sys.argv[1], service="shop")

class Command(BaseCommand):
    @recorder.work("import", kind="command")
    def handle(self, *args, **options):
        current()["verbosity"] = options["verbosity"]

call_command(Command(), verbosity=2)
assert recorder.close(60)
[record] = store.records
print(record.method, record.route, record.outcome, record.variables)
"""


def test_a_management_command_of_django_is_work(tmp_path: Path) -> None:
    assert run_python(_DJANGO, tmp_path).strip() == "COMMAND import ok {'verbosity': 2}"
