"""Chest for Huey: a record of each task, with the id of the request that asked for it."""

from __future__ import annotations

from typing import Any, Final

from chest import current
from chest.adapter import MissingDependencyError, RecordsWork, Work

try:
    from huey import signals
    from huey.api import Huey
except ModuleNotFoundError as error:
    if error.name != "huey":
        raise
    raise MissingDependencyError("huey_chest needs Huey: pip install 'wsgi-chest[huey]'") from error

__all__ = ["record_tasks"]

ARGUMENT: Final = "chest_request_id"
"""The keyword argument that holds the id while a task waits; a task itself does not see it. Huey has no other place."""


def record_tasks(huey: Huey, recorder: RecordsWork) -> None:
    """Leave a record of each run of Huey's tasks, and hand the request's id on to the tasks that it sends.

    Call it once, where the ``Huey`` object is made, so that it holds for those that send tasks and for the consumer.

    :param huey: the object whose ``task`` decorates the tasks.
    :param recorder: a ``chest.Recorder``, or a ``FlaskRecorder``.
    """
    under_way: dict[str, tuple[Work, str | None]] = {}

    @huey.signal(signals.SIGNAL_ENQUEUED)  # type: ignore[untyped-decorator]
    def hand_on(_: str, task: Any) -> None:
        request_id = current().request_id
        while request_id and task is not None:
            task.kwargs.setdefault(ARGUMENT, request_id)
            task = task.on_complete

    @huey.pre_execute("chest")  # type: ignore[untyped-decorator]
    def begin(task: Any) -> None:
        request_id = task.kwargs.pop(ARGUMENT, None)
        work = recorder.work(f"{task.__module__}.{task.name}", request_id=request_id, kind="job")
        under_way[task.id] = work, request_id
        about = work.__enter__().attributes
        about["messaging.message.id"], about["messaging.destination.name"] = task.id, huey.name

    @huey.post_execute("chest")  # type: ignore[untyped-decorator]
    def end(task: Any, _: object, error: BaseException | None) -> None:
        work, request_id = under_way.pop(task.id, (None, None))
        if request_id is not None:
            task.kwargs[ARGUMENT] = request_id  # for its next try
        if work is not None:
            work.__exit__(None if error is None else type(error), error, None)

    @huey.signal(signals.SIGNAL_INTERRUPTED)  # type: ignore[untyped-decorator]
    def interrupt(_: str, task: Any) -> None:
        end(task, None, KeyboardInterrupt())
