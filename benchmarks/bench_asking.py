"""How long do the answers of ``chest.query`` take on a million records, beside the SQL that a person would write, and DuckDB?

SQLite and DuckDB: CPU seconds of this process, the best of the rounds. The file is the chest's own; DuckDB has the same columns in its own
format, the variables as JSON text, and what filling it takes is not counted. The servers: seconds on the clock, as the work is theirs;
they hold fewer records unless ASKING_SERVER_RECORDS says otherwise. The records are made up, with a planted cause of slowness that
``compare`` has to name, and nothing else. A command is measured as a process over the same file, of two runs the better one. At the end a
writer stores 2,000 records a second, in turns alone, beside a process that computes, and beside one that asks all of this.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from benchmarks.rig.asking_commands import commands_over_all, commands_over_the_last_hour
from benchmarks.rig.made_up_records import PLANTED, made_up_records
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.writer_beside import Turn, writer_beside_questions
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.query import Answer, compare, heatmap, over_time, parse, top, values

RECORDS: Final = int(os.environ.get("ASKING_RECORDS", "1000000"))
SERVER_RECORDS: Final = int(os.environ.get("ASKING_SERVER_RECORDS", "100000"))
ROUNDS: Final = 3
_HOUR_NS: Final = 3600 * 10**9
_BUDGET: Final = 300.0
_COLUMNS: Final = "time_ns, duration_ns, route, status, outcome, release, variables"

Ask = Callable[[ReadableChest, int], Any]
QUESTIONS: Final[dict[str, Ask]] = {
    "filter on fields, last hour": lambda chest, since: chest.read(
        parse(f"time>={_text(since)} status>=500 duration>10ms"), limit=1000
    ),
    "filter user_id=42, all": lambda chest, _: chest.read(parse("user_id=42"), limit=1000),
    "top by route, all": lambda chest, _: top(chest, seconds=_BUDGET),
    "top by route, last hour": lambda chest, since: top(chest, f"since={_text(since)}", seconds=_BUDGET),
    "top by plan (a variable), all": lambda chest, _: top(chest, by="plan", seconds=_BUDGET),
    "requests a minute by status": lambda chest, _: over_time(chest, by="status", step="1m", seconds=_BUDGET),
    "heatmap": lambda chest, _: heatmap(chest, seconds=_BUDGET),
    "values, every name": lambda chest, _: values(chest),
    "compare, slower than p95": lambda chest, _: compare(chest, slower_than="p95", seconds=_BUDGET),
}
_QUANTILES: Final = """
    WITH ranked AS (SELECT route, duration_ns, row_number() OVER (PARTITION BY route ORDER BY duration_ns) AS place,
        count(*) OVER (PARTITION BY route) AS records FROM chest_records {where})
    SELECT route, max(records), min(CASE WHEN place >= 0.5 * records THEN duration_ns END),
        min(CASE WHEN place >= 0.95 * records THEN duration_ns END) FROM ranked GROUP BY route"""
PLAIN: Final = {
    "filter on fields, last hour": "SELECT * FROM chest_records WHERE time_ns >= {since} AND status >= 500 AND duration_ns > 10000000",
    "filter user_id=42, all": "SELECT * FROM chest_records WHERE json_extract(variables, '$.user_id') = 42",
    "top by route, all": _QUANTILES.replace("{where}", ""),
    "top by route, last hour": _QUANTILES.replace("{where}", "WHERE time_ns >= {since}"),
    "top by plan (a variable), all": _QUANTILES.replace("{where}", "").replace(
        "route", "json_extract(variables, '$.plan')"
    ).replace("SELECT json_extract(variables, '$.plan'), max", "SELECT plan, max").replace(
        "(SELECT json_extract(variables, '$.plan'),", "(SELECT json_extract(variables, '$.plan') AS plan,"
    ).replace("GROUP BY json_extract(variables, '$.plan')", "GROUP BY plan"),
    "requests a minute by status": "SELECT time_ns / 60000000000, status, count(*) FROM chest_records GROUP BY 1, 2",
    "values, every name": "SELECT key, value, count(*) FROM chest_records, json_each(variables) GROUP BY 1, 2",
    "compare, slower than p95": "SELECT v.key, v.value, sum(duration_ns > {p95}), sum(duration_ns <= {p95}) FROM chest_records AS r,"
    " json_each(r.variables) AS v GROUP BY 1, 2",
}  # fmt: skip
"""Code that a person would write; a heatmap is not written by hand."""
DUCKDB: Final = {
    **{
        name: PLAIN[name]
        for name in (
            "filter on fields, last hour",
            "requests a minute by status",
            "values, every name",
            "compare, slower than p95",
        )
    },
    "filter user_id=42, all": "SELECT * FROM chest_records WHERE json_extract(variables, '$.user_id')::BIGINT = 42",
    "top by route, all": "SELECT route, count(*), quantile_cont(duration_ns, [0.5, 0.95]) FROM chest_records GROUP BY 1",
    "top by route, last hour": "SELECT route, count(*), quantile_cont(duration_ns, [0.5, 0.95]) FROM chest_records"
    " WHERE time_ns >= {since} GROUP BY 1",
    "top by plan (a variable), all": "SELECT variables->>'$.plan', count(*), quantile_cont(duration_ns, [0.5, 0.95]) FROM chest_records"
    " GROUP BY 1",
}
TARGETS: Final = {
    "filter on fields, last hour": 0.1,
    "top by route, all": 3.0,
    "top by route, last hour": 0.3,
    "compare, slower than p95": 1.0,
    "values, every name": 0.5,
}


class Answers(NamedTuple):
    """What asking one store came to."""

    seconds: dict[str, float]
    causes: dict[str, str | None]
    """What the slow requests have in common, as ``compare`` says."""
    estimated: frozenset[str]
    """Questions that were answered from a part of the records."""


def fill(chest: ReadableChest, records: int) -> int:
    """Write made-up records; returns when the last hour of them begins."""
    end_ns = time.time_ns()
    made = made_up_records(records, end_ns)
    while batch := list(islice(made, 2000)):
        chest.write_new(batch)
    return end_ns - _HOUR_NS


def ask(chest: ReadableChest, since_ns: int, clock: Callable[[], float], rounds: int = ROUNDS) -> Answers:
    """Ask every question, in rounds."""
    best, estimated = dict.fromkeys(QUESTIONS, float("inf")), set[str]()
    for _ in range(rounds):
        for name, question in QUESTIONS.items():
            begin = clock()
            answer = question(chest, since_ns)
            best[name] = min(best[name], clock() - begin)
            if isinstance(answer, Answer) and not answer.basis.is_exact:
                estimated.add(name)
    causes = {row.name: row.values[0].value for row in answer.clear}  # the last question is compare
    return Answers(best, causes, frozenset(estimated))


def plain_sql(path: Path, since_ns: int, p95_ns: int) -> dict[str, float]:
    """The SQL that a person would write, on a connection of its own."""
    connection = sqlite3.connect(path)
    found = _best_of(PLAIN, connection.execute, since_ns, p95_ns)
    connection.close()
    return found


def duckdb_sql(path: Path, since_ns: int, p95_ns: int) -> dict[str, float]:
    """The same questions of DuckDB, which was filled from the file."""
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    target, source = duckdb.connect(), sqlite3.connect(path)
    target.execute(
        "CREATE TABLE chest_records (time_ns BIGINT, duration_ns BIGINT, route TEXT, status INT, outcome TEXT, release TEXT, variables JSON)"
    )
    cursor = source.execute(f"SELECT {_COLUMNS} FROM chest_records")
    while rows := cursor.fetchmany(50_000):
        frame = pandas.DataFrame(rows, columns=_COLUMNS.split(", "))
        target.register("frame", frame)
        target.execute("INSERT INTO chest_records SELECT * FROM frame")
    source.close()
    return _best_of(DUCKDB, target.execute, since_ns, p95_ns)


def _best_of(texts: Mapping[str, str], execute: Callable[[str], Any], since_ns: int, p95_ns: int) -> dict[str, float]:
    """CPU seconds of each, the best of as many rounds as ours have."""
    best = dict.fromkeys(texts, float("inf"))
    for _ in range(ROUNDS):
        for name, text in texts.items():
            begin = time.process_time()
            execute(text.format(since=since_ns, p95=p95_ns)).fetchall()
            best[name] = min(best[name], time.process_time() - begin)
    return best


def _text(time_ns: int) -> str:
    moment = time.gmtime(time_ns // 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment)


def _turn(turn: Turn) -> str:
    return f"{turn.p99 * 1e3:.2f} ms ({turn.p99_on_core * 1e3:.2f} without waiting for a core)"


def _servers() -> dict[str, AbstractContextManager[Any]]:
    from tests.servers.mariadb import mariadb
    from tests.servers.mongodb import mongodb
    from tests.servers.postgresql import postgresql

    return {"PostgreSQL": postgresql(), "MariaDB": mariadb(), "MongoDB": mongodb()}


def _of_server(name: str, running: AbstractContextManager[Any]) -> Answers | None:
    try:
        with running as server:
            url = f"mongodb://127.0.0.1:{server.port}/asking" if name == "MongoDB" else server.new_url()
            with open_chest(f"{url}{'&' if '?' in url else '?'}timeout_seconds=120") as chest:
                assert isinstance(chest, ReadableChest)
                return ask(chest, fill(chest, SERVER_RECORDS), time.perf_counter, rounds=2)
    except pytest.skip.Exception:
        return None


def report() -> Report:
    """The table and the targets."""
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        path = Path(directory) / "chest.sqlite3"
        with open_chest(f"sqlite:///{path}") as chest:
            assert isinstance(chest, ReadableChest)
            since_ns = fill(chest, RECORDS)
            ours = ask(chest, since_ns, time.process_time)
            p95_ns = compare(chest, slower_than="p95").slower_than_ns or 0
        over_all, quick = commands_over_all(path), commands_over_the_last_hour(path, _text(since_ns))
        plain, duck = plain_sql(path, since_ns, p95_ns), duckdb_sql(path, since_ns, p95_ns)
        beside = writer_beside_questions(path, "benchmarks.rig.asker", since_ns)
    servers = {name: _of_server(name, running) for name, running in _servers().items()}
    rows = [
        (
            f"{name} (estimated)" if name in ours.estimated else name, ours.seconds[name], plain.get(name), duck.get(name),
            *(answers and answers.seconds[name] for answers in servers.values()),
        )
        for name in QUESTIONS
    ]  # fmt: skip
    slowest = max(quick, key=lambda name: quick[name].cpu_seconds)
    largest = max(over_all, key=lambda name: over_all[name].megabytes)
    found = {"SQLite": ours.causes} | {name: answers.causes for name, answers in servers.items() if answers}
    return Report(
        question_of(__doc__),
        ["question", "SQLite", "plain SQL", "DuckDB", *servers],
        rows,
        [
            *(Target(f"SQLite, {name}", ours.seconds[name], "at most", most, " s") for name, most in TARGETS.items()),
            Target(f"chest {slowest}, CPU of the process", quick[slowest].cpu_seconds, "at most", 0.4, " s"),
            Target(f"chest {largest}, memory of the process", over_all[largest].megabytes, "at most", 100, " MB"),
            Target("a writer of 2,000 records/s beside questions: p99 is so many times the one alone",
                   beside.asking.p99 / beside.alone.p99, "at most", 1.2),
            Target("the same without the time in which it waited for a core",
                   beside.asking.p99_on_core / beside.alone.p99_on_core, "at most", 1.2),
            Target("records that it lost", beside.lost, "at most", 0),
            Target("stores where compare names the planted causes and nothing else", sum(each == PLANTED for each in found.values()),
                   "at least", len(found)),
        ],
        [
            f"{RECORDS:,} records in SQLite and DuckDB, {SERVER_RECORDS:,} in the servers; seconds. What is estimated rests on some thousands of"
            " the records; SQL and DuckDB count all.",
            f"compare names: {found}",
            "Commands as processes, CPU over the last hour: " + ", ".join(f"{name} {cost.cpu_seconds:.2f} s" for name, cost in quick.items()),
            "Memory over all records: " + ", ".join(f"{name} {cost.megabytes:.0f} MB" for name, cost in over_all.items()),
            f"The writer's batches of 20: p99 {_turn(beside.alone)} alone, {_turn(beside.computing)} beside a process that computes,"
            f" {_turn(beside.asking)} beside {beside.questions:,} questions.",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    print(report())
