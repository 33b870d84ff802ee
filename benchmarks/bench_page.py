"""How soon does the page answer on a million records in a real browser, beside datasette's page over the same file?

``chest ui`` and ``datasette serve`` are processes of their own, datasette in an environment of its own (``peers/datasette.txt``), and
Debian's Chromium asks them one after the other, on the same cores. A question is one request of the page, from when the browser sends it to the
end of its answer; a view asks several, at most three at a time, and is answered with the last. The records are those of ``bench_asking``.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.bench_asking import fill
from benchmarks.bench_peers import python_of
from benchmarks.rig.report import Report, Target, question_of
from chest import dashboard
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from tests.dashboard.browser.conftest import CHROMIUM
from tests.dashboard.browser.person import Person
from tests.servers.process import free_port

RECORDS: Final = int(os.environ.get("PAGE_RECORDS", "1000000"))
ROUNDS: Final = 3
_SLOW: Final = "duration>=60ms"
VIEWS: Final[dict[str, str | Callable[[Person], None]]] = {
    "all, as it is opened": "?since=all",
    "a rectangle over the slow ones": lambda person: person.drag_heatmap(60),
    "where a value lies": lambda person: person.find("#different button.value").first.hover(),
    "the last hour": "",
    "p95 by route": "?since=all&metric=p95",
    "by user_id (50,000), by errors": "?since=all&by=user_id&sort=errors",
    "only plan=pro": "?since=all&filter=plan=pro",
    "one user of 50,000": "?since=all&filter=user_id=42",
    "two releases compared": "?since=all&by=release&these=release=2.4.1&others=release=2.4.0",
    "slow ones of a filter compared": f"?since=all&filter=region=north&these={_SLOW}",
    "one record": "record/{record}",
    "what is new since an hour": "new?since=1h",
    "health": "health",
}
"""What is done in the browser; a text is opened as a URL."""
DATASETTE: Final = {
    "the table": "",
    "one user of 50,000": "?_where=json_extract(variables,'$.user_id')=42",
    "by route (facet)": "?_facet=route",
    "by release (facet)": "?_facet=release",
    "errors, newest first": "?status=500&_sort_desc=time_ns",
    "the slowest": "?_sort_desc=duration_ns",
}
_GAVE_UP: Final = re.compile(r"SQL query took too long|These facets timed out|SQL Interrupted")
_WATCHED: Final = """
    const fetched = window.fetch;
    window.asked = [];
    window.open = 0;
    window.fetch = async (url, options) => {
        const begin = performance.now();
        window.open += 1;
        try {
            const response = await fetched(url, options);
            const text = await response.text();
            window.asked.push([new URL(url).pathname.split("/api/")[1].split("/")[0], (performance.now() - begin) / 1000]);
            return new Response(text, response);
        } finally {
            window.open -= 1;
        }
    };"""
"""Notes what each question took; for the page nothing changes."""
_FIRST_PAINT: Final = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()
    .find(each => each.name === "first-contentful-paint").startTime / 1000)).observe({type: "paint", buffered: true}))"""


class Seen(NamedTuple):
    """One view: seconds until all is answered, its slowest question and that one's seconds, and what the server computed."""

    answered: float
    slowest: float | None
    question: str
    cpu: float
    gave_up: bool = False


class Served:
    """A server as a process.

    :param url: where it answers.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url

    def cpu_seconds(self) -> float:
        """What it has computed, in user and kernel."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_megabytes(self) -> float:
        """The most memory that it held at a time."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


@contextmanager
def chest_ui(path: Path) -> Iterator[Served]:
    """``chest ui`` over this file; its URL lets one browser in."""
    command = [sys.executable, "-m", "chest", "ui", f"sqlite:///{path}", "--no-browser"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout
            yield Served(process, next(line.strip() for line in process.stdout if "token=" in line))
        finally:
            process.terminate()


@contextmanager
def datasette(path: Path) -> Iterator[Served]:
    """``datasette serve`` over this file, with the settings that it comes with."""
    port = free_port()
    command = [str(python_of("datasette")), "-m", "datasette", "serve", str(path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            url = f"http://127.0.0.1:{port}/{path.stem}/chest_records"
            _wait_for(f"http://127.0.0.1:{port}/-/versions.json", process)
            yield Served(process, url)
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers at {url}")


def paints(browser: Any, url: str, state: Any, rounds: int) -> list[float]:
    """Seconds until something is seen, of a browser that has nothing of the page yet."""
    found = []
    for _ in range(rounds):
        with closing(browser.new_context(storage_state=state)) as profile:
            page = profile.new_page()
            page.goto(url, wait_until="commit")
            found.append(page.evaluate(_FIRST_PAINT))
    return found


def look(profile: Any, served: Served, root: str, record_id: str) -> dict[str, Seen]:
    """Every view of the page, one after the other in one window."""
    person, found = Person(profile, f"{root}health", before=lambda page: page.add_init_script(_WATCHED)), {}
    with closing(person):
        for name, action in VIEWS.items():
            person.page.evaluate("window.asked.length = 0")
            cpu, begin = served.cpu_seconds(), time.perf_counter()
            if callable(action):
                action(person)
            else:
                person.page.goto(root + action.format(record=record_id))
            person.page.wait_for_function("() => window.asked.length && !window.open")
            answered = time.perf_counter() - begin
            if trouble := person.find(".trouble").all_inner_texts():
                raise RuntimeError(f"{name}: {trouble}")
            question, slowest = max(person.page.evaluate("window.asked"), key=lambda each: each[1])
            found[name] = Seen(answered, slowest, question, served.cpu_seconds() - cpu)
    return found


def look_at_datasette(profile: Any, served: Served) -> dict[str, Seen]:
    """What datasette's page of the table can be asked."""
    found = {}
    with closing(profile.new_page()) as page:
        page.set_default_timeout(120_000)
        for name, question in DATASETTE.items():
            cpu, begin = served.cpu_seconds(), time.perf_counter()
            page.goto(served.url + question, wait_until="load")
            answered = time.perf_counter() - begin
            gave_up = _GAVE_UP.search(page.inner_text("body")) is not None
            found[name] = Seen(answered, None, "", served.cpu_seconds() - cpu, gave_up)
    return found


class Measured(NamedTuple):
    """The medians of the rounds."""

    views: dict[str, Seen]
    paint: float
    megabytes: float
    theirs: dict[str, Seen]
    their_paint: float
    their_megabytes: float


def measure(program: str, path: Path, rounds: int = ROUNDS) -> Measured:
    """Both pages over this file."""
    from playwright.sync_api import sync_playwright

    with open_chest(f"sqlite:///{path}") as chest:
        assert isinstance(chest, ReadableChest)
        record_id = chest.latest(limit=1).records[0].record.id
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with closing(browser):
            with chest_ui(path) as served, closing(browser.new_context()) as profile:
                profile.new_page().goto(served.url)  # the token is good for one use, and becomes a cookie
                root, state = served.url.partition("?")[0], profile.storage_state()
                paint = statistics.median(paints(browser, f"{root}?since=all", state, rounds))
                views = _medians([look(profile, served, root, record_id) for _ in range(rounds)])
                megabytes = served.most_megabytes()
            with datasette(path) as served, closing(browser.new_context()) as profile:
                their_paint = statistics.median(paints(browser, served.url, None, rounds))
                theirs = _medians([look_at_datasette(profile, served) for _ in range(rounds)])
                return Measured(views, paint, megabytes, theirs, their_paint, served.most_megabytes())


def _medians(rounds: Sequence[dict[str, Seen]]) -> dict[str, Seen]:
    found = {}
    for name in rounds[0]:
        seen = sorted((each[name] for each in rounds), key=lambda each: each.slowest or each.answered)
        middle = seen[len(seen) // 2]
        answered, cpu = (statistics.median(getattr(each, of) for each in seen) for of in ("answered", "cpu"))
        found[name] = middle._replace(answered=answered, cpu=cpu, gave_up=any(each.gave_up for each in seen))
    return found


def page_kilobytes() -> float:
    """What a browser loads once, compressed as a proxy would."""
    assert dashboard.__file__
    files = (Path(dashboard.__file__).parent / "static").iterdir()
    return sum(len(gzip.compress(file.read_bytes())) for file in files) / 1000


def report() -> Report:
    """The table and the targets."""
    columns = ["view", "answered, s", "its slowest question, s", "server's CPU, s"]
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        return Report(question_of(__doc__), columns, [], notes=["Not measured: there is no Chromium (make servers)."])
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        path = Path(directory) / "chest.sqlite3"
        with open_chest(f"sqlite:///{path}") as chest:
            assert isinstance(chest, ReadableChest)
            fill(chest, RECORDS)
        ours, paint, megabytes, theirs, their_paint, their_megabytes = measure(program, path)
    slowest = max(ours.values(), key=lambda each: each.slowest or 0)
    return Report(
        question_of(__doc__),
        columns,
        [
            *((name, seen.answered, seen.slowest, seen.cpu) for name, seen in ours.items()),
            *((f"datasette: {name}", seen.answered, None, seen.cpu) for name, seen in theirs.items()),
        ],
        [
            Target("first paint", paint, "at most", 1.0, " s"),
            Target(f"the slowest question ({slowest.question})", slowest.slowest or 0, "at most", 1.5, " s"),
            Target("what a browser loads, compressed", page_kilobytes(), "at most", 60, " KB"),
            Target("memory of the serving process", megabytes, "at most", 120, " MB"),
        ],
        [
            f"{RECORDS:,} records in SQLite. datasette: first paint {their_paint:.2f} s, {their_megabytes:.0f} MB.",
            "Slowest of each view: " + "; ".join(f"{name}: {seen.question}" for name, seen in ours.items()) + ".",
            f"datasette gave up, and says so: {', '.join(name for name, seen in theirs.items() if seen.gave_up) or 'nothing'}.",
        ],
    )


if __name__ == "__main__":
    print(report())
