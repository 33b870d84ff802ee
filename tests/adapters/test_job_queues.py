"""Celery, RQ and Huey with their own workers and Redis: jobs leave records that are joined with the request that asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from chest.chests.registry import open_chest, sqlite_url
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory
from tests.processes import ROOT, clean_environment
from tests.servers import HOST, Server
from tests.support import wait_until

APP: Final = "tests.adapters.jobs_app"
SECONDS: Final = 60.0
WORKERS: Final = {
    "celery": ["celery", "--app", f"{APP}:celery", "worker", "--pool=prefork", "--concurrency=1", "--loglevel=WARNING"],
    "rq": ["rq.cli", "worker", "--job-class", f"{APP}.RecordedJob", "jobs", "--url", "REDIS_URL"],
    "huey": ["huey.bin.huey_consumer", f"{APP}.huey", "--workers=1", "--worker-type=process"],
}


def _records(store: str) -> list[Record]:
    try:
        with open_chest(store) as chest:
            return [stored.record for stored in chest.read()]  # type: ignore[attr-defined]
    except ChestUnavailable:
        return []  # not made yet


@pytest.mark.parametrize("queue", list(WORKERS))
def test_jobs_leave_records_with_the_id_of_the_request_also_when_their_worker_is_killed(
    queue: str, redis: Server, tmp_path: Path
) -> None:
    store, number = sqlite_url(tmp_path / "chest.sqlite3"), list(WORKERS).index(queue)
    redis_url = f"redis://{HOST}:{redis.port}/{10 + number}"
    environ = clean_environment(
        REDIS_URL=redis_url, CHEST_URLS=store, CHEST_DIRECTORY=str(tmp_path / "rings"), CHEST_FLUSH_SECONDS="0.02",
        PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'adapters'}",
    )  # fmt: skip
    subprocess.run([sys.executable, "-m", APP, queue, str(tmp_path)], env=environ, cwd=ROOT, check=True, timeout=300)
    command = [redis_url if word == "REDIS_URL" else word for word in WORKERS[queue]]
    with (tmp_path / "said").open("w") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", *command], env=environ, cwd=ROOT, stdout=said, stderr=said, start_new_session=True
        )
    try:
        wait_until((tmp_path / "pid").exists, SECONDS)
        wait_until(lambda: len(_records(store)) >= 5, SECONDS)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    except BaseException:
        print((tmp_path / "said").read_text())
        raise
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(SECONDS)
    with open_chest(store) as chest:
        wait_until(lambda: recover_directory(tmp_path / "rings", [chest]).left == 0, SECONDS)  # each is dead by then
    records = _records(store)
    assert {record.request_id for record in records} == {"order-42"}
    jobs = sorted(records, key=lambda record: record.time_ns)[1:]
    told = [(record.method, record.path.rpartition(".")[2], record.outcome, record.error) for record in jobs]
    assert sorted(told, key=repr) == [
        ("JOB", "fail", "error", "ValueError"),
        ("JOB", "fail_once", "error", "ConnectionError"),
        ("JOB", "fail_once", "ok", None),
        ("JOB", "hang", "killed", None),
        ("JOB", "send_email", "ok", None),
    ]
    [sent] = [record for record in jobs if record.path == f"{APP}.send_email"]
    assert (sent.route, sent.service, sent.variables) == (f"{APP}.send_email", "jobs", {"address": "ada@example.com"})
    assert sent.attributes["messaging.message.id"]
    assert sent.attributes["messaging.destination.name"] == ("celery" if queue == "celery" else "jobs")
