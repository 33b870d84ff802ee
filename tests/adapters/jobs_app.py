"""Jobs of Celery, RQ and Huey that leave records, and a request that asks for them; for ``test_job_queues``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery_chest
import huey_chest
import rq_chest
from celery import Celery
from huey import RedisHuey
from redis import Redis
from rq import Queue

from chest import ChestMiddleware, Recorder, current

REDIS_URL = os.environ["REDIS_URL"]
recorder = Recorder(service="jobs")


def send_email(address: str) -> str:
    """Records a variable."""
    current()["address"] = address
    return address


def fail() -> None:
    """Fails, and is not tried again."""
    raise ValueError("no such address")


def fail_once(queue: str, directory: str) -> None:
    """Fails the first time, and then asks for another job."""
    place = Path(directory) / "failed"
    if not place.exists():
        place.touch()
        raise ConnectionError("no mail server")
    globals()[f"by_{queue}"](hang, f"{directory}/pid")


def hang(place: str) -> None:
    """Writes down its process, and goes on for ever."""
    Path(f"{place}.new").write_text(str(os.getpid()))
    Path(f"{place}.new").rename(place)
    time.sleep(600)


celery = Celery("jobs", broker=REDIS_URL)
celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
celery_chest.record_tasks(celery, recorder)
for function in (send_email, fail, hang):
    celery.task(name=f"{__name__}.{function.__name__}")(function)
celery.task(
    name=f"{__name__}.fail_once", autoretry_for=(ConnectionError,), retry_kwargs={"max_retries": 1, "countdown": 0}
)(fail_once)

RecordedJob = rq_chest.job_class(recorder)

huey = RedisHuey("jobs", url=REDIS_URL)
huey_chest.record_tasks(huey, recorder)
of_huey = {
    function.__name__: huey.task(retries=function is fail_once)(function)
    for function in (send_email, fail, fail_once, hang)
}


def by_celery(function: Callable[..., Any], *arguments: object) -> None:
    celery.tasks[f"{__name__}.{function.__name__}"].delay(*arguments)


def by_rq(function: Callable[..., Any], *arguments: object) -> None:
    from rq import Retry

    queue = Queue("jobs", connection=Redis.from_url(REDIS_URL), job_class=RecordedJob)
    queue.enqueue(function, *arguments, retry=Retry(1) if function is fail_once else None)


def by_huey(function: Callable[..., Any], *arguments: object) -> None:
    of_huey[function.__name__](*arguments)


def main(queue: str, directory: str) -> None:
    """Serve one request, whose view asks for three jobs."""
    import tests.adapters.jobs_app as app  # whose functions have the names that a worker knows

    send = getattr(app, f"by_{queue}")

    def view(environ: Any, start_response: Any) -> list[bytes]:
        send(app.send_email, "ada@example.com")
        send(app.fail)
        send(app.fail_once, queue, directory)
        start_response("202 Accepted", [])
        return []

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/orders", "HTTP_X_REQUEST_ID": "order-42"}
    ChestMiddleware(view, recorder=app.recorder)(environ, lambda status, headers: print)


if __name__ == "__main__":
    main(*sys.argv[1:])
