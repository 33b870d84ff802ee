"""Chest for Celery: a record of each task, with the id of the request that asked for it."""

from __future__ import annotations

from typing import Any, Final

from chest import current
from chest.adapter import MissingDependencyError, RecordsWork, Work

try:
    from celery import Celery, signals
except ModuleNotFoundError as error:
    if error.name != "celery":
        raise
    raise MissingDependencyError("celery_chest needs Celery: pip install 'wsgi-chest[celery]'") from error

__all__ = ["record_tasks"]

HEADER: Final = "chest_request_id"
"""The header of a task's message that holds the id."""


def record_tasks(app: Celery, recorder: RecordsWork) -> None:
    """Leave a record of each run of the application's tasks, and hand the request's id on to the tasks that it sends.

    Call it once, where the application is made, so that it holds for those that send tasks and for the workers.

    :param app: the Celery application.
    :param recorder: a ``chest.Recorder``, or a ``FlaskRecorder``.
    """
    under_way: dict[str, Work] = {}
    errors: dict[str, BaseException] = {}

    def hand_on(headers: dict[str, Any] | None = None, **_: Any) -> None:
        request_id = current().request_id
        if request_id and headers is not None:
            headers.setdefault(HEADER, request_id)

    def begin(task_id: str, task: Any, **_: Any) -> None:
        if task.app is app:
            work = under_way[task_id] = recorder.work(task.name, request_id=task.request.get(HEADER), kind="job")
            about = work.__enter__().attributes
            about["messaging.message.id"] = task_id
            about["messaging.destination.name"] = (task.request.delivery_info or {}).get("routing_key")

    def note_error(task_id: str, exception: BaseException, **_: Any) -> None:
        errors[task_id] = exception

    def note_retry(request: Any, reason: Any, **_: Any) -> None:
        errors[request.id] = getattr(reason, "exc", None) or reason

    def end(task_id: str, state: str | None = None, **_: Any) -> None:
        work, error = under_way.pop(task_id, None), errors.pop(task_id, None)
        if work is not None:
            current().attributes["celery.state"] = state
            work.__exit__(None if error is None else type(error), error, None)

    signals.before_task_publish.connect(hand_on, weak=False)
    signals.task_prerun.connect(begin, weak=False)
    signals.task_failure.connect(note_error, weak=False)
    signals.task_retry.connect(note_retry, weak=False)
    signals.task_postrun.connect(end, weak=False)
