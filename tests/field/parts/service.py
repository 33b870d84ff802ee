"""``Service``: the application under one kind of server, with the processes that answer, and what they keep on disk."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests import servers
from tests.field.parts.drain import Drain
from tests.field.plan import STATS, Plan, ServerKind
from tests.servers import Server

APP: Final = "tests.field.parts.app:app"
RING_BYTES: Final = 1 << 20
SPOOL_BYTES: Final = 8 << 20

_RECYCLED_AFTER: Final = 150
"""Requests that a worker answers before another takes its place."""

_Start = Callable[[Path, Plan, Mapping[str, str]], AbstractContextManager[Server]]


def _gunicorn(worker_class: str, *options: str) -> _Start:
    def start(directory: Path, plan: Plan, environ: Mapping[str, str]) -> AbstractContextManager[Server]:
        more = [f"--workers={plan.workers}", "--graceful-timeout=2", *options]
        more += ["--preload"] if plan.is_preloaded else []
        more += [f"--max-requests={_RECYCLED_AFTER}", "--max-requests-jitter=50"] if plan.is_recycled else []
        return servers.gunicorn(APP, directory, *more, worker_class=worker_class, environ=environ)

    return start


def _uwsgi(directory: Path, plan: Plan, environ: Mapping[str, str]) -> AbstractContextManager[Server]:
    more = [f"--processes={plan.workers}", "--disable-logging", "--reload-mercy=3", "--worker-reload-mercy=3"]
    more += [f"--max-requests={_RECYCLED_AFTER}"] if plan.is_recycled else []
    return servers.uwsgi(APP, directory, *more, environ=environ)


_STARTERS: Final[dict[ServerKind, _Start]] = {
    ServerKind.SYNC: _gunicorn("sync"),
    ServerKind.GTHREAD: _gunicorn("gthread", "--threads=4"),
    ServerKind.GEVENT: _gunicorn("gevent"),
    ServerKind.UWSGI: _uwsgi,
    ServerKind.WAITRESS: lambda directory, plan, environ: servers.waitress(APP, directory, environ=environ),
    ServerKind.GRANIAN: lambda directory, plan, environ: servers.granian(
        APP, directory, f"--workers={plan.workers}", environ=environ
    ),
    ServerKind.FORKING: lambda directory, plan, environ: servers.forking(APP, directory, environ=environ),
}


class Service:
    """The application while it is served.

    :param state: where the rings and spools lie.
    :param told: where each process tells what its recorder knows.
    :param drain: what delivers in the place of threads in the workers; None if these do.
    """

    def __init__(self, kind: ServerKind, server: Server, state: Path, told: Path, drain: Drain | None) -> None:
        self.forks_for_each = kind is ServerKind.FORKING
        """Whether each request has a process of its own."""
        self.server = server
        self.state = state
        self.drain = drain
        self._told = told

    def ensure_running(self) -> None:
        """Start the server again where it has ended, as a supervisor does."""
        if self.server.process.poll() is not None:
            self.server.stop()  # what it has left behind holds the port
            self.server.start()
        if self.drain is not None:
            self.drain.ensure_running()

    def restart(self, sign: signal.Signals) -> None:
        """End the server by this signal and start it again."""
        self.server.stop(sign)
        self.server.start()

    def processes(self) -> list[int]:
        """The processes of the server that live, the first among them, and the one that drains."""
        sessions, found = self._first_processes, []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name in brackets may hold anything, even a bracket.
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[3]) in sessions and fields[0] not in "ZX":
                    found.append(int(status.parent.name))
        return sorted(found)

    @property
    def _first_processes(self) -> set[int]:
        """The process that was started as the server, and the one that drains."""
        return {self.server.process.pid} | ({self.drain.pid} if self.drain else set())

    def forked(self) -> list[int]:
        """The processes that the server has forked."""
        return [pid for pid in self.processes() if pid not in self._first_processes]

    def workers(self) -> list[int]:
        """Those among them that have answered."""
        return [pid for pid in self.processes() if (self._told / f"{pid}.json").exists()]

    def told_by(self, pid: int) -> dict[str, Any]:
        """What the recorder of a process knew when it last told; empty if it never did."""
        try:
            told: dict[str, Any] = json.loads((self._told / f"{pid}.json").read_text())
        except OSError:
            return {}
        return told

    def disk_bytes(self) -> int:
        """What the directory takes of the disk."""
        total = 0
        for path in self.state.glob("*"):
            with suppress(OSError):
                total += path.stat().st_blocks * 512
        return total


def descriptors_of(pid: int) -> int:
    """How many a process has open; 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def threads_of(pid: int) -> int:
    """How many threads a process has; 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


@contextmanager
def serving(plan: Plan, url: str, directory: Path, state: Path, environ: Mapping[str, str]) -> Iterator[Service]:
    """The application for the block.

    :param plan: says under what.
    :param url: of its chest.
    :param directory: for the log, and what the processes tell.
    :param state: for the rings and spools.
    :param environ: more environment variables for it.
    """
    told = directory / "told"
    told.mkdir(parents=True)
    options = {
        "CHEST_URLS": url, "CHEST_DIRECTORY": str(state), "CHEST_SERVICE": "shop", STATS: str(told),
        "CHEST_RING_BYTES": str(RING_BYTES), "CHEST_SPOOL_BYTES": str(SPOOL_BYTES), "CHEST_FLUSH_SECONDS": "0.05",
    }  # fmt: skip
    with ExitStack() as stack:
        drain = None
        if plan.is_drained:
            options["CHEST_DELIVERY"] = "external"
            drain = stack.enter_context(Drain(directory, state, {**options, **environ}))
        starter = _STARTERS[plan.server]
        server = stack.enter_context(starter(directory / "server", plan, {**options, **environ}))
        yield Service(plan.server, server, state, told, drain)
