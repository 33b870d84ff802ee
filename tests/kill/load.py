"""``Load``: clients that ask a server all the time and remember which of their requests were answered completely."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from chest.chests.registry import open_chest, sqlite_url
from chest.recorder.directory_recovery import Recovered, recover_directory
from tests.servers import HOST
from tests.support import wait_until


class Load:
    """Clients in threads of their own, for as long as the block lasts.

    :param port: of the server, on the loopback interface.
    :param clients: how many ask at the same time, each over a connection of its own that it keeps while it lasts.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self.answered: list[str] = []
        """The ids of the requests whose whole response came."""
        self.failed = 0
        self.workers: Counter[int] = Counter()
        """How many requests each process answered."""
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        enough = len(self.answered) + more
        wait_until(lambda: len(self.answered) >= enough)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        while not self._is_over.is_set():
            if not self.ask(connection):
                connection.close()
                time.sleep(0.002)
        connection.close()

    def ask(self, connection: http.client.HTTPConnection, path: str = "/") -> bool:
        """Make one request; whether the whole response came."""
        request_id = str(uuid.uuid4())
        try:
            connection.request("GET", path, headers={"X-Request-ID": request_id})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.failed += 1
            return False
        # A worker that is ended between the headers and the body may send an error page in the body's place.
        if response.status != 200 or len(body) != int(response.headers["Content-Length"]) or not body.isdigit():
            self.failed += 1
            return False
        self.workers[int(body)] += 1
        self.answered.append(request_id)
        return True


class Ledger:
    """Where a server under load keeps its rings and its records, and what is to be found there afterwards."""

    def __init__(self, path: Path) -> None:
        self.rings = path / "rings"
        self.store = path / "store.sqlite3"

    def environ(self, **more: str) -> Mapping[str, str]:
        """Options for the application of ``tests/kill/app.py``."""
        return {
            "CHEST_URLS": sqlite_url(self.store), "CHEST_DIRECTORY": str(self.rings), "CHEST_SERVICE": "shop",
            "CHEST_RING_BYTES": str(4 << 20), **more,
        }  # fmt: skip

    def rings_left(self) -> list[str]:
        """The ring files that are there."""
        return [path.name for path in self.rings.glob("*.ring")]

    def recover(self) -> Recovered:
        """Deliver what the dead left."""
        chest = open_chest(sqlite_url(self.store))
        try:
            return recover_directory(self.rings, [chest])
        finally:
            chest.close()

    def stored(self) -> Counter[str]:
        """How often each request id is in the store; of a store that nothing was delivered into yet, none."""
        with contextlib.closing(sqlite3.connect(self.store)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'chest_records'").fetchone():
                return Counter()
            return Counter(row[0] for row in connection.execute("SELECT request_id FROM chest_records"))

    def require(self, load: Load, more: int = 0) -> None:
        """Every request that was answered is in the store exactly once, and none is there twice.

        :param more: how many requests others made.
        """
        stored = self.stored()
        lost = [request_id for request_id in load.answered if not stored[request_id]]
        doubled = [request_id for request_id, count in stored.items() if count > 1]
        assert not lost, f"{len(lost)} of {len(load.answered)} answered requests are not in the store"
        assert not doubled, f"{len(doubled)} requests are in the store more than once"
        assert sum(stored.values()) <= len(load.answered) + load.failed + more


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything, even a bracket.
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(status.parent.name))
    return sorted(found)


def kill_workers(master: int, seconds: float) -> int:
    """SIGKILL a worker at random, again and again; how many were killed."""
    killed = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.uniform(0.02, 0.3))
        workers = children_of(master)
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
                killed += 1
    return killed
