"""What ``bench_end_to_end`` has gunicorn serve: ``benchmarks.served:wrapped("chest")``."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.application import App, app
from benchmarks.contenders import Logging, Prometheus
from chest import ChestMiddleware


def wrapped(by: str) -> App:
    """The measured app, bare or inside a contender; Chest takes its options from the environment."""
    if by == "bare":
        return app
    if by == "prometheus":
        return Prometheus(app, by_name=True).wsgi
    if by == "logging":
        return Logging(app, Path(os.environ["BENCH_LOG"])).wsgi
    return ChestMiddleware(app)
