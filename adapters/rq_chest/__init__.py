"""Chest for RQ: a record of each job, with the id of the request that asked for it."""

from __future__ import annotations

from typing import Any, Final

from chest import current
from chest.adapter import MissingDependencyError, RecordsWork

try:
    from rq.job import Job
except ModuleNotFoundError as error:
    if error.name != "rq":
        raise
    raise MissingDependencyError("rq_chest needs RQ: pip install 'wsgi-chest[rq]'") from error

__all__ = ["job_class"]

META: Final = "chest_request_id"
"""The entry of a job's ``meta`` that holds the id."""


def job_class(recorder: RecordsWork, base: type[Job] = Job) -> type[Job]:
    """A class of jobs that leave a record of each run, and that hold the id of the request that made them.

    Example::

        RecordedJob = job_class(recorder)  # in jobs.py
        Queue(connection=redis, job_class=RecordedJob)  # and: rq worker --job-class jobs.RecordedJob

    :param recorder: a ``chest.Recorder``, or a ``FlaskRecorder``.
    :param base: the class of jobs that you use otherwise.
    """

    class RecordedJob(base):  # type: ignore[misc, valid-type]
        @classmethod
        def create(cls, *args: Any, **kwargs: Any) -> Any:
            job = super().create(*args, **kwargs)
            request_id = current().request_id
            if request_id:
                job.meta.setdefault(META, request_id)
            return job

        def perform(self) -> Any:
            with recorder.work(self.func_name, request_id=self.meta.get(META), kind="job") as context:
                context.attributes["messaging.message.id"] = self.id
                context.attributes["messaging.destination.name"] = self.origin
                return super().perform()

    return RecordedJob
