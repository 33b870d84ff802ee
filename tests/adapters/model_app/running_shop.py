"""The model application with all that it needs: gunicorn, workers of Celery and RQ, and a payment service."""

from __future__ import annotations

import http.client
import http.cookies
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from chest.chests.registry import open_chest, sqlite_url
from chest.errors import ChestUnavailable
from chest.record.record import Record
from tests import servers
from tests.processes import ROOT, clean_environment
from tests.recording_server import RecordingServer, Reply, recording_server
from tests.servers.process import running

EXAMPLE: Final = ROOT / "examples" / "model_app"
PAID: Final = Reply(200, {"Content-Type": "application/json"}, b'{"id": "p-1"}')
_WORKERS: Final = {
    "celery": ["celery", "--app", "shop.jobs.worker", "worker", "--concurrency=1", "--loglevel=WARNING"],
    "rq": ["rq.cli", "worker", "--job-class", "shop.jobs.worker.RecordedJob", "reports", "--url", "REDIS_URL"],
}


def environment_of(directory: Path, database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    """What each process of the shop has in its environment."""
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "adapters", EXAMPLE))),
        "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode"),  # many processes import much: none compiles it again
        "DATABASE_URL": database_url.replace("postgresql:", "postgresql+psycopg:", 1),
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key of thirty-two bytes or more",
        "CHEST_URLS": sqlite_url(directory / "chest.sqlite3"),
        "CHEST_DIRECTORY": str(directory / "rings"),
        "CHEST_FLUSH_SECONDS": "0.05",
        **more,
    }


def run(environ: Mapping[str, str], *arguments: str) -> str:
    """What a Python program of the shop says; a failure shows it."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=EXAMPLE, env=clean_environment(**environ), text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


class RunningShop:
    """The shop while it is served, as one browser sees it."""

    def __init__(self, environ: Mapping[str, str], server: servers.Server, payments: RecordingServer) -> None:
        self.environ, self.server, self.payments = environ, server, payments
        self._cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()

    def ask(self, path: str, method: str = "GET", body: object = None, **headers: str) -> Answer:
        """An answer, read to its end. ``body`` is JSON, or a form if it is text; a proxy has said that the client came by HTTPS."""
        form = isinstance(body, str)
        sent = {
            "Cookie": "; ".join(f"{name}={each.value}" for name, each in self._cookies.items()),
            "X-Forwarded-Proto": "https",
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection = http.client.HTTPConnection(servers.HOST, self.server.port, timeout=60)
        connection.request(method, path, body if form or body is None else json.dumps(body), sent)  # type: ignore[arg-type]
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        for each in response.headers.get_all("Set-Cookie", []):
            self._cookies.load(each)
        return answer

    def records(self) -> list[Record]:
        """Those that are stored by now, in the order in which the requests began."""
        try:
            with open_chest(self.environ["CHEST_URLS"]) as chest:
                stored = [each.record for each in chest.read()]  # type: ignore[attr-defined]
        except ChestUnavailable:
            return []  # not made yet
        return sorted(stored, key=lambda record: record.time_ns)


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Mapping[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, headers, text
        self.request_id = headers["X-Request-ID"]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@contextmanager
def running_shop(directory: Path, database_url: str, redis_url: str, **more: str) -> Iterator[RunningShop]:
    """The shop, migrated and served with two workers, for the block.

    :param more: more of the environment.
    """
    with ExitStack() as stack:
        payments = stack.enter_context(recording_server())
        payments.reply = PAID
        environ = environment_of(directory, database_url, redis_url, PAYMENTS_URL=payments.url, **more)
        run(environ, "flask", "--app", "shop", "db", "upgrade")
        started: list[servers.Server] = []
        for name, words in _WORKERS.items():
            command = [sys.executable, "-m", *(redis_url if word == "REDIS_URL" else word for word in words)]
            started.append(stack.enter_context(_working(name, command, directory / name, environ)))
        config = [f"--config={EXAMPLE / 'gunicorn.conf.py'}", "--workers=2", "--threads=8"]
        served = servers.gunicorn(
            "shop:create_app()", directory / "gunicorn", *config, worker_class="gthread", environ=environ
        )
        started.append(stack.enter_context(served))
        yield RunningShop(environ, started[-1], payments)
        with ThreadPoolExecutor() as ending:  # each takes seconds for it
            list(ending.map(servers.Server.stop, started))


def _working(name: str, command: list[str], directory: Path, environ: Mapping[str, str]) -> Any:
    return running(name, lambda port: command, directory, environ, is_ready=lambda port: True)
