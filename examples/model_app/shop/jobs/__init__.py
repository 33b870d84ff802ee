"""What is done after the answer: a mail by Celery, a report by RQ. Each job has the request id of the request that sent it."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, shared_task
from celery_chest import record_tasks
from flask import Flask
from flask_mail import Message
from redis import Redis
from rq import Queue
from rq_chest import job_class

from chest import current
from shop.extensions import mail, recorder

RecordedJob = job_class(recorder)


@shared_task(name="shop.send_receipt", autoretry_for=(ConnectionError,), max_retries=3)
def send_receipt(name: str, total: int) -> None:
    """The mail after an order."""
    current()["total"] = total
    with current().timer("mail"):
        mail.send(Message(f"You paid {total}", recipients=[f"{name}@example.com"], body="Thank you."))


def write_report(month: str) -> None:
    """Runs in a worker of RQ."""
    current()["month"] = month


def celery_of(app: Flask) -> Celery:
    """Celery, as Flask's documentation makes it: each task runs in the application's context."""

    class FlaskTask(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery(app.name, task_cls=FlaskTask)
    celery.config_from_object(app.config["CELERY"])
    celery.set_default()
    record_tasks(celery, recorder)
    return celery


def init_app(app: Flask) -> None:
    """Give the application its queues."""
    app.extensions["celery"] = celery_of(app)
    redis = Redis.from_url(app.config["REDIS_URL"])
    app.extensions["rq"] = Queue("reports", connection=redis, job_class=RecordedJob, is_async=not app.testing)
