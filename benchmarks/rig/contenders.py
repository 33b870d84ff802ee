"""What is wrapped around the measured application: Chest, and the rivals that its development environment holds."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.rig.application import VARIABLES, App, app
from benchmarks.rig.measure import Requests
from chest import ChestMiddleware, Recorder
from chest.chests.contract import Chest
from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable
from chest.record.record import Record

# Rings in memory and stores that are down are meant here: what is logged about them would stand between the tables.
logging.getLogger("chest").addHandler(logging.NullHandler())


class Prometheus:
    """Around an app, one Counter and one Histogram with the usual labels; nothing is delivered anywhere.

    :param by_name: labels as keywords, as a careful user writes them, else by position, which is cheaper.
    """

    def __init__(self, inner: App, *, by_name: bool) -> None:
        registry = CollectorRegistry()
        self._requests = Counter("requests", "Requests", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram("request_seconds", "Seconds", ["method", "route"], registry=registry)
        self.wsgi = self._by_name(inner) if by_name else self._by_position(inner)

    def _by_name(self, inner: App) -> App:
        requests, seconds = self._requests, self._seconds

        def counted(environ: dict[str, Any], start_response: Any) -> Any:
            begin = time.perf_counter()
            seen: list[str] = []
            body = inner(environ, _remembering(seen, start_response))
            requests.labels(method=environ["REQUEST_METHOD"], route="/", status=seen[0]).inc()
            seconds.labels(method=environ["REQUEST_METHOD"], route="/").observe(time.perf_counter() - begin)
            return body

        return counted

    def _by_position(self, inner: App) -> App:
        requests, seconds = self._requests, self._seconds

        def counted(environ: dict[str, Any], start_response: Any) -> Any:
            begin = time.perf_counter()
            seen: list[str] = []
            body = inner(environ, _remembering(seen, start_response))
            requests.labels(environ["REQUEST_METHOD"], "/", seen[0]).inc()
            seconds.labels(environ["REQUEST_METHOD"], "/").observe(time.perf_counter() - begin)
            return body

        return counted


def _remembering(seen: list[str], start_response: Any) -> Any:
    def started(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.append(status[:3])
        return start_response(status, headers)

    return started


class Logging:
    """Around an app, a log line a request through a QueueHandler; a QueueListener's thread writes it to a file."""

    def __init__(self, inner: App, path: Path) -> None:
        self._waiting: queue.Queue[Any] = queue.Queue()
        self._file = logging.FileHandler(path)
        self._listener = logging.handlers.QueueListener(self._waiting, self._file)
        logger = logging.Logger("requests", logging.INFO)
        logger.addHandler(logging.handlers.QueueHandler(self._waiting))

        def logged(environ: dict[str, Any], start_response: Any) -> Any:
            begin = time.perf_counter()
            body = inner(environ, start_response)
            milliseconds = (time.perf_counter() - begin) * 1000
            logger.info("%s %s %.3f", environ["REQUEST_METHOD"], environ["PATH_INFO"], milliseconds, extra=VARIABLES)
            return body

        self.wsgi: App = logged
        self._listener.start()

    def settle(self) -> None:
        """Wait until every line is written."""
        while self._waiting.qsize():
            time.sleep(0.001)

    def close(self) -> None:
        """End the listener's thread."""
        self._listener.stop()
        self._file.close()


def chest_around(inner: App, place: Path, **options: Any) -> ChestMiddleware:
    """Chest with every default on, its ring in a directory of its own, its exporter writing to SQLite there."""
    place.mkdir()
    options = {"chests": [f"sqlite:///{place / 'chest.sqlite3'}"], "directory": place, "service": "bench", **options}
    return ChestMiddleware(inner, **options)


def recorder_in(place: Path) -> Recorder:
    """A recorder with every default on, its ring in this directory, writing to SQLite there."""
    return Recorder([f"sqlite:///{place / 'chest.sqlite3'}"], directory=place, service="bench")


def settle(recorder: Recorder) -> None:
    """Wait until all is delivered; a record that was dropped would have been cheaper than one that was kept."""
    if not recorder.flush(30) or "dropped" in recorder.stats():
        raise RuntimeError(f"not all that was measured was recorded: {recorder.stats()}")


class DiscardingChest(Chest):
    """Takes every record and keeps none: what is left is the cost of what comes before a chest."""

    name = "discard"

    def open(self) -> None:
        pass

    def write(self, records: Any) -> None:
        pass

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


class StoppableChest(DiscardingChest):
    """SQLite, until it is stopped; then a store that is down."""

    name = "stopped"

    def __init__(self, place: Path) -> None:
        self._store = open_chest(f"sqlite:///{place / 'chest.sqlite3'}")
        self.is_stopped = False

    def open(self) -> None:
        self._store.open()

    def write(self, records: Any) -> None:
        if self.is_stopped:
            raise ChestUnavailable("the store is down")
        self._store.write(records)

    def close(self) -> None:
        self._store.close()


def sample_record(directory: Path) -> Record:
    """The record that one request of the measured app leaves."""
    store = MemoryChest()
    with ChestMiddleware(app, chests=[store], directory=directory, service="bench").recorder as recorder:
        Requests(ChestMiddleware(app, recorder=recorder))()
    return store.records[0]
