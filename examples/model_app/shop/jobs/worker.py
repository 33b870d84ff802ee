"""For ``celery --app shop.jobs.worker worker`` and ``rq worker --job-class shop.jobs.worker.RecordedJob reports``."""

from __future__ import annotations

from shop import create_app
from shop.jobs import RecordedJob

__all__ = ["RecordedJob", "celery"]

celery = create_app().extensions["celery"]
