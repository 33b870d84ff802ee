"""How many records a second does each command of docs/scaling.md carry for a host with four workers, and does each record arrive?

Each worker is a process that records by itself (``delivery="external"``) and stays alive; then the command runs once, to its
end, as an operator's. Its start is in the time. The servers share the machine with it, so only its own CPU compares; what the
store holds afterwards is counted.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from benchmarks.rig.report import Report, question_of
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from tests.processes import clean_environment

_WORKERS: Final = 4
_REQUESTS: Final = int(os.environ.get("SCALING_REQUESTS", "25000"))
"""Of each worker."""
_WORKER: Final = """
import sys
from benchmarks.rig.contenders import Requests, app
from chest import ChestMiddleware

wrapped = ChestMiddleware(app, directory=sys.argv[1], service="shop", delivery="external", ring_bytes="64MiB")
request = Requests(wrapped)
for _ in range(int(sys.argv[2])):
    request()
assert not wrapped.recorder.stats().get("dropped"), wrapped.recorder.stats()
print("ready", flush=True)
sys.stdin.readline()
"""


class Carried(NamedTuple):
    """What one command did."""

    seconds: float
    cpu_us: float
    """Of the command's own process, a record."""
    arrived: int
    """Records in the target, twice those that are there twice."""


class Step(NamedTuple):
    """A command, and how to look at what it brought."""

    words: Callable[[Path], Sequence[str]]
    arrived: Callable[[], int]
    is_drain: bool = True


def measure() -> dict[str, Carried]:
    """What is found for each command whose servers can be started; the later ones take on what the earlier ones brought."""
    found: dict[str, Carried] = {}
    with ExitStack() as servers, tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        for name, step in _steps(servers, Path(directory)):
            with _full_rings() if step.is_drain else tempfile.TemporaryDirectory() as place:
                found[name] = _run(step, Path(place))
    return found


def _steps(servers: ExitStack, place: Path) -> Iterator[tuple[str, Step]]:
    sqlite = f"sqlite:///{place / 'chest.sqlite3'}"
    yield "chest drain, to SQLite", _drain(sqlite)
    with _left_out("PostgreSQL"):
        from tests.servers.postgresql import postgresql

        server = servers.enter_context(postgresql())
        moved, drained = server.new_url(), server.new_url()
        yield "chest transfer, SQLite to PostgreSQL", _transfer(sqlite, moved)
        yield "chest drain, to PostgreSQL", _drain(drained)
    with _left_out("ClickHouse"):
        from tests.servers.clickhouse import clickhouse

        engine = servers.enter_context(clickhouse())
        taken = engine.new_url()
        yield "chest transfer, SQLite to ClickHouse", _transfer(sqlite, engine.new_url())
        yield "chest drain, to ClickHouse", _drain(engine.new_url())
        with _left_out("NATS"):
            from tests.servers.nats import nats

            broker = servers.enter_context(nats())
            stream = broker.new_stream()
            url = broker.url(stream)
            state: Callable[[], int] = lambda: broker.ask(stream, f"STREAM.INFO.{stream}")["state"]["messages"]  # type: ignore[index]  # noqa: E731
            yield "chest drain, to NATS", Step(lambda rings: ["drain", "--once", str(rings), "--to", url], state)
            yield "chest transfer, NATS to ClickHouse", _transfer(url, taken)
    with _left_out("Rotel"):
        from tests.servers.otlp import rotel

        collector = servers.enter_context(rotel())
        step = _drain(collector.url())
        yield "chest drain, to an OTLP collector", step._replace(arrived=lambda: _behind(collector.sink.server))


def _drain(url: str) -> Step:
    return Step(lambda rings: ["drain", "--once", str(rings), "--to", url], lambda: _stored(url))


def _transfer(source: str, target: str) -> Step:
    return Step(lambda _: ["transfer", source, target], lambda: _stored(target), is_drain=False)


@contextmanager
def _left_out(name: str) -> Iterator[None]:
    try:
        yield
    except pytest.skip.Exception as missing:
        print(f"{name} is left out: {missing}")


@contextmanager
def _full_rings() -> Iterator[str]:
    """A directory with the rings of workers that live, and have recorded."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        command = [sys.executable, "-c", _WORKER, directory, str(_REQUESTS)]
        workers = [
            subprocess.Popen(command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(_WORKERS)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            yield directory
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


def _run(step: Step, rings: Path) -> Carried:
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "chest", *step.words(rings)]
    subprocess.run(
        command,
        env=clean_environment(no_proxy="*", CHEST_SHUTDOWN_SECONDS="600"),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Carried(seconds, cpu / (_WORKERS * _REQUESTS) * 1e6, step.arrived())


def _stored(url: str) -> int:
    with open_chest(url) as chest:
        assert isinstance(chest, ReadableChest)
        return sum(cell.records for cell in chest.cube().cells)


def _behind(sink: object) -> int:
    """The spans behind the collector, once no more come."""
    from tests.servers.otlp.sink import items_of

    seen, posts = -1, sink.posts  # type: ignore[attr-defined]
    while len(posts) != seen:
        seen = len(posts)
        time.sleep(1)
        posts = sink.posts  # type: ignore[attr-defined]
    return sum(len(items_of(post)) for post in posts)


def report() -> Report:
    """Records a second, the command's own CPU, and what arrived."""
    total = _WORKERS * _REQUESTS
    found = measure()
    for name, carried in found.items():
        assert carried.arrived == total, f"{name}: {carried.arrived} of {total} arrived"
    return Report(
        question_of(__doc__),
        ("", "records/s", "CPU µs/record", "arrived"),
        [(name, total / carried.seconds, carried.cpu_us, carried.arrived) for name, carried in found.items()],
        notes=[f"{total:,} records each time; every one arrived once."],
    )


if __name__ == "__main__":
    print(report())
