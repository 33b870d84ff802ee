"""``chest ui``: as a process of its own, asked as a browser asks it."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import Result

from chest.chests import SQLiteChest
from chest.testing.records import make_record
from tests.processes import clean_environment

_MOST_BYTES = 120 * 2**20


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "chest.sqlite3"
    with SQLiteChest(f"sqlite:///{path}") as chest:
        chest.write([make_record(variables={"plan": "pro", "place": place}) for place in range(3000)])
    return path


@contextmanager
def _running(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the URL that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chest", "ui", "--no-browser", *map(str, arguments)],
        env=clean_environment(PYTHONUNBUFFERED="1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield process, next(line.strip() for line in lines if line.strip().startswith("http://"))
        finally:
            process.kill()


def _get(url: str, path: str, cookie: str = "") -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        return answer


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c_in_less_than_120_mb(store: Path) -> None:
    with _running(store) as (process, url):
        first = _get(url, f"/?{urlsplit(url).query}")
        cookie = first.headers["Set-Cookie"].partition(";")[0]
        assert (first.status, first.headers["Location"]) == (303, "/")
        questions = (
            "over-time",
            "heatmap",
            "top?by=plan",
            "values",
            "compare?selection=place>2000",
            "records",
            "health",
        )
        for question in questions:
            assert _get(url, f"/api/{question}", cookie).status == 200, question
        assert _get(url, "/api/top").status == 403
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert peak is not None
        assert int(peak[1]) * 1024 < _MOST_BYTES
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "chest: the page was closed\n"


@pytest.mark.slow
def test_the_port_can_be_chosen(store: Path) -> None:
    with _running(store) as (_, url):
        port = str(urlsplit(url).port)
        taken = subprocess.run(
            [sys.executable, "-m", "chest", "ui", str(store), "--no-browser", "--port", port],
            env=clean_environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert (taken.returncode, taken.stdout) == (2, "")
    assert f"port {port} of 127.0.0.1 cannot be had" in taken.stderr
    with _running(store, "--port", port) as (_, again):
        assert str(urlsplit(again).port) == port


def test_a_store_that_is_not_there_is_told_before_anything_is_served(run: type[Result], tmp_path: Path) -> None:
    result = run("ui", f"sqlite:///{tmp_path}/none.sqlite3", "--no-browser")  # type: ignore[call-arg]
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no such file" in result.stderr
