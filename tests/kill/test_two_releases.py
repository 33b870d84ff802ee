"""This release and one whose records have a field more, over one directory and one table, as in a rolling deploy or a rollback:
nothing is lost, and nothing is there twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest, sqlite_url
from chest.delivery.spool.contents import look_into
from chest.delivery.spool.file import SpoolError
from tests.fixtures.newer import newer_release
from tests.processes import ROOT, clean_environment, command_of
from tests.servers.database import DatabaseServer
from tests.support import wait_until

_WORKER = """
    import sys, threading, time
    from wsgiref.util import setup_testing_defaults
    from chest import ChestMiddleware, Recorder
    from chest.record.record import Record
    from tests.support import make_record

    directory, url, delivery = sys.argv[1:]
    recorder = Recorder([url], directory=directory, service="shop", ring_bytes=1 << 20, delivery=delivery)
    zone = {"zone": "eu-1"} if "zone" in Record._fields else {}

    def application(environ, start_response):
        print("serving", flush=True)
        threading.Event().wait()

    def ask(app):
        environ = {"PATH_INFO": "/wait"}
        setup_testing_defaults(environ)
        app(environ, lambda *told: None)

    recorder.prepare()
    for line in sys.stdin:
        if line == "wait\\n":
            threading.Thread(target=ask, args=(ChestMiddleware(application, recorder=recorder),), daemon=True).start()
        elif line == "close\\n":
            print(f"closed: {bool(recorder.close())}", flush=True)
        else:
            for _ in range(int(line)):
                record = make_record(recorder.request_side.record_ids, **zone)
                while not recorder.offer(record):
                    time.sleep(0.001)
                print(record.id, flush=True)
            print("offered", flush=True)
"""


@dataclass
class Release:
    """Where a release is imported from."""

    name: str
    path: str

    @property
    def _started(self) -> dict[str, Any]:
        """Python imports from the directory that it is started in before all others."""
        return {"env": clean_environment(PYTHONPATH=self.path), "cwd": "/", "text": True}

    def run(self, *arguments: object) -> str:
        """The command ``chest``."""
        command = [sys.executable, "-m", "chest", *map(str, arguments)]
        done = subprocess.run(command, **self._started, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def worker(self, directory: Path, url: str, delivery: str = "thread") -> Iterator[Worker]:
        """A process that records, killed by SIGKILL at the end of the block."""
        process = subprocess.Popen(
            command_of(_WORKER, directory, url, delivery),
            **self._started,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            worker = Worker(process)
            try:
                yield worker
            finally:
                process.send_signal(signal.SIGKILL)
                assert process.stdout is not None
                worker.said += [line.strip() for line in process.stdout if line.endswith("\n")]


class Worker:
    """A process of a release; ``said`` are the ids of what it recorded, also of what it had no time to be asked for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[str] = []

    @property
    def ids(self) -> list[str]:
        return [line for line in self.said if len(line) == 32]

    def start(self, what: object) -> None:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)

    def do(self, what: object, until: str) -> None:
        self.start(what)
        self.read(until)

    def read(self, until: str = "", lines: int = sys.maxsize) -> None:
        """What it says, up to this line or up to so many lines."""
        assert self._process.stdout is not None
        for _, line in zip(range(lines), self._process.stdout, strict=False):
            self.said.append(line.strip())
            if self.said[-1] == until:
                return


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release("newer", newer_release(tmp_path_factory.mktemp("newer")))


@pytest.fixture
def this() -> Release:
    return Release("this", str(ROOT))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "rings"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that both releases write to."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "chest.sqlite3")
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.new_url()


both_ways = pytest.mark.parametrize(("first", "second"), [("this", "newer"), ("newer", "this")])
ReleaseOf = Callable[[str], Release]


@pytest.fixture
def release_of(this: Release, newer: Release) -> ReleaseOf:
    return lambda name: {"this": this, "newer": newer}[name]


def stored(url: str) -> Counter[str]:
    """How often which record is in the store, but notes of killed requests."""
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        return Counter(each.record.id for each in chest.read(limit=1_000_000) if each.record.outcome != "killed")


def spooled(directory: Path) -> int:
    """How many records wait in its spools, of those that are made whole by now."""
    with suppress(SpoolError):
        return sum(look_into(path).waiting.records for path in directory.rglob("*.spool"))
    return 0


def zones(release: Release, url: str, path: Path) -> set[Any]:
    """What a transfer by this release finds in the field that the newer one has."""
    release.run("transfer", url, f"ndjson:{path}")
    return {json.loads(line).get("zone", "-") for line in path.read_text().splitlines()}


@both_ways
def test_the_ring_of_a_killed_worker_is_drained_by_the_other_release(
    first: str, second: str, release_of: ReleaseOf, directory: Path, tmp_path: Path
) -> None:
    url = sqlite_url(tmp_path / "chest.sqlite3")
    with release_of(first).worker(directory, url, "external") as worker:
        worker.do(300, "offered")
        worker.do("wait", "serving")
    release_of(second).run("recover", directory, "--to", url)
    assert len(worker.ids) == 300
    assert stored(url) == Counter(worker.ids)
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        assert [each.record.path for each in chest.read() if each.record.outcome == "killed"] == ["/wait"]
    assert list(directory.rglob("*.ring*")) == []


@both_ways
def test_what_one_release_spooled_is_delivered_by_the_other(
    first: str, second: str, release_of: ReleaseOf, directory: Path, tmp_path: Path
) -> None:
    url = sqlite_url(tmp_path / "missing" / "too" / "chest.sqlite3")
    with release_of(first).worker(directory, url) as worker:
        worker.do(300, "offered")
        wait_until(lambda: spooled(directory) == 300, 60)
    (tmp_path / "missing" / "too").mkdir(parents=True)
    told = release_of(second).run("recover", directory, "--to", url)
    assert stored(url) == Counter(worker.ids)
    assert "damaged" not in told
    assert list(directory.rglob("*damaged*")) == []


@pytest.mark.parametrize(
    ("first", "second", "url"),
    [
        ("this", "newer", "sqlite"),
        ("newer", "this", "sqlite"),
        ("this", "newer", "postgresql"),
        ("newer", "this", "mariadb"),
    ],
    indirect=["url"],
)
def test_a_rolling_restart_over_one_directory_and_one_table_loses_and_doubles_nothing(
    first: str, second: str, release_of: ReleaseOf, directory: Path, url: str
) -> None:
    older, newer = release_of(first), release_of(second)
    expected: list[str] = []
    dice = random.Random(14)
    for release, beside in ((older, older), (older, newer), (newer, older), (newer, newer)):
        with beside.worker(directory, url) as other:
            with release.worker(directory, url) as worker:
                worker.start(600)
                other.start(200)
                worker.read(lines=dice.randrange(50, 500))  # and it is killed during the rest
            other.read("offered")
        assert min(len(worker.ids), len(other.ids)) >= 50
        expected += worker.ids + other.ids
    newer.run("recover", directory, "--to", url)
    found = stored(url)
    assert set(expected) - set(found) == set()
    assert {id_: count for id_, count in found.items() if count > 1} == {}
    assert len(found) - len(set(expected)) <= 8  # offered, and killed before it could say so
    assert [path for path in directory.rglob("*") if path.suffix in (".ring", ".damaged", ".unreadable")] == []


def test_the_newer_release_gives_a_table_its_column_and_this_one_goes_on_with_it(
    this: Release, newer: Release, directory: Path, url: str, tmp_path: Path
) -> None:
    counts = []
    for release in (this, newer, this, newer):
        with release.worker(directory, url) as worker:
            worker.do(100, "offered")
            worker.do("close", "closed: True")
        counts.append(len(worker.ids))
    assert (counts, sum(stored(url).values())) == ([100] * 4, 400)
    assert zones(newer, url, tmp_path / "newer.ndjson") == {None, "eu-1"}
    assert zones(this, url, tmp_path / "this.ndjson") == {"-"}


@both_ways
def test_lines_and_tables_are_transferred_by_one_release_from_what_the_other_wrote(
    first: str, second: str, release_of: ReleaseOf, directory: Path, tmp_path: Path
) -> None:
    a, b, c = (sqlite_url(tmp_path / f"{name}.sqlite3") for name in "abc")
    with release_of(first).worker(directory, a) as worker:
        worker.do(100, "offered")
        worker.do("close", "closed: True")
    release_of(second).run("transfer", a, b)
    release_of(first).run("transfer", a, f"ndjson:{tmp_path}/lines.ndjson.gz")
    release_of(second).run("transfer", f"ndjson:{tmp_path}/lines.ndjson.gz", c)
    assert stored(a) == stored(b) == stored(c) == Counter(worker.ids)
    release_of(first).run("transfer", c, a)
    assert stored(a) == Counter(worker.ids)
