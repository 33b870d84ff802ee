"""How many requests a second does a server answer with Chest, of those that it answers without?

One worker a contender, each on a port of its own and at rest while the others are measured; rounds interleaved, medians. The
delivery works while requests are answered, on the same interpreter lock, or in a process of its own where ``external`` stands.
The CPU of the server for a request, delivery in its process included, moves less on a busy machine than requests a second do.
At the end each store must hold a record of every request that was answered.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.rig.load import CONNECTIONS, Load, load, tool
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.servers import Server

BARE: Final = "bare"
PROMETHEUS: Final = "prometheus"
CHEST: Final = "chest"
EXTERNAL: Final = "chest, external"
EXTENSION: Final = "extension"
_RECORDING: Final = (CHEST, EXTERNAL, EXTENSION)
_ROUND_SECONDS: Final = 3.0
_WARM_UP_SECONDS: Final = 1.0
_DELIVERY_SECONDS: Final = 3.0
"""Within this, what was answered is delivered."""


class Case(NamedTuple):
    """A server, an application, and what is wrapped around it."""

    server: str
    application: str
    contenders: tuple[str, ...] = (BARE, PROMETHEUS, CHEST, EXTERNAL)


CASES: Final = (
    Case("gunicorn gthread", "list", (BARE, PROMETHEUS, "logging", CHEST, EXTERNAL)),
    Case("gunicorn gthread", "Flask", (BARE, PROMETHEUS, CHEST, EXTENSION, EXTERNAL)),
    Case("gunicorn gthread", "Django"),
    Case("gunicorn gevent", "Flask"),
    Case("uWSGI", "Flask"),
)


class Found(NamedTuple):
    """What all rounds of a case saw."""

    loads: dict[str, Load]
    """The medians of the rounds."""
    of_bare: dict[str, float]
    """Requests a second as a share of what the bare app got in the same round: the median of the rounds."""
    of_prometheus: dict[str, float]
    """The same, of what prometheus_client's got."""
    cpu_us: dict[str, float]
    """CPU of the server for a request, its delivery in the same process included."""
    answered: int
    """How many requests the servers with a recorder answered."""
    stored: int
    """How many records their stores hold."""


def measure(case: Case = CASES[0], rounds: int = 5, seconds: float = _ROUND_SECONDS) -> Found:
    """All contenders of a case in every round."""
    names = case.contenders
    found: dict[str, list[Load]] = {name: [] for name in names}
    answered = stored = 0
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory, _servers(case, Path(directory)) as servers:
        warm_ups = {name: load(servers[name].port, _WARM_UP_SECONDS) for name in names}
        time.sleep(_DELIVERY_SECONDS)
        before = {name: servers[name].cpu_seconds() for name in names}
        for number in range(rounds):
            first = number % len(names)  # in turn, so that none always follows the same one
            for name in (*names[first:], *names[:first]):
                found[name].append(load(servers[name].port, seconds))
        time.sleep(_DELIVERY_SECONDS)
        cpu_us = {
            name: (servers[name].cpu_seconds() - before[name]) / sum(each.requests for each in loads) * 1e6
            for name, loads in found.items()
        }
        for name in set(names).intersection(_RECORDING):
            servers[name].stop()
            answered += 1 + sum(
                each.requests for each in [warm_ups[name], *found[name]]
            )  # and the one that it was awaited by
            stored += _count(servers[name].store)
    medians = {name: Load(*map(statistics.median, zip(*loads, strict=True))) for name, loads in found.items()}
    of_bare, of_prometheus = (
        {name: _share(loads, found[base]) for name, loads in found.items()} for base in (BARE, PROMETHEUS)
    )
    return Found(medians, of_bare, of_prometheus, cpu_us, answered, stored)


def _share(loads: list[Load], base: list[Load]) -> float:
    pairs = zip(loads, base, strict=True)
    return statistics.median(load.requests_per_second / other.requests_per_second for load, other in pairs)


@contextlib.contextmanager
def _servers(case: Case, place: Path) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name in case.contenders:
            by = CHEST if name == EXTERNAL else name
            store = place / name.replace(", ", "-")  # its URL is one of several, between spaces
            servers[name] = Server(case.server, case.application, by, store, is_drained=name == EXTERNAL)
            stack.callback(servers[name].stop)
        for server in servers.values():
            server.wait_until_it_answers()
        yield servers


def _count(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM chest_records").fetchone()[0])


def report(cases: Sequence[Case] = CASES, rounds: int = 5) -> Report:
    """Requests a second, their share of the bare app's and of prometheus_client's, and latencies."""
    found = {case: measure(case, rounds) for case in cases}
    return Report(
        question_of(__doc__),
        ("one worker, four threads", "requests/s", "of bare", "of prometheus", "CPU µs", "p50 ms", "p99 ms"),
        [
            (
                f"{case.server}, {case.application}, {name}",
                *(load.requests_per_second, seen.of_bare[name], seen.of_prometheus[name]),
                *(seen.cpu_us[name], load.p50_ms, load.p99_ms),
            )
            for case, seen in found.items()
            for name, load in seen.loads.items()
        ],
        targets=[
            *(
                Target(f"{case.server}, {case.application}, chest, of prometheus_client", share, "at least", 1)
                for case, share in ((case, seen.of_prometheus[CHEST]) for case, seen in found.items())
            ),
            Target("records stored of requests answered", _stored(found.values()), "at least", 1),
        ],
        notes=[
            f"{CONNECTIONS} connections of {tool()}; {sum(each.answered for each in found.values()):,} requests answered"
            " with a recorder (one that was under way when a round ended was answered too)."
        ],
    )


def _stored(found: Iterable[Found]) -> float:
    seen = list(found)
    return sum(each.stored for each in seen) / sum(each.answered for each in seen)


if __name__ == "__main__":
    print(report())
