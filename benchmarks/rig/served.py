"""What ``bench_end_to_end`` has a server serve: ``benchmarks.rig.served:app``, as two variables of the environment say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.rig.application import App
from benchmarks.rig.application import app as list_app
from benchmarks.rig.contenders import Logging, Prometheus
from benchmarks.rig.framework_apps import django_app, flask_app, nothing, variables, variables_on_g
from chest import ChestMiddleware

APPLICATION = "BENCH_APPLICATION"
CONTENDER = "BENCH_CONTENDER"


def _wrapped(inner: App, by: str) -> App:
    """The measured app, bare or inside a contender; Chest takes its options from the environment."""
    if by == "bare":
        return inner
    if by == "prometheus":
        return Prometheus(inner, by_name=True).wsgi
    if by == "logging":
        return Logging(inner, Path(os.environ["BENCH_LOG"])).wsgi
    return ChestMiddleware(inner)


def _served(application: str, by: str) -> App:
    if application == "list":
        return _wrapped(list_app, by)
    record = {"chest": variables, "extension": variables_on_g}.get(by, nothing)
    if application == "Django":
        return _wrapped(django_app(record), by)
    app: Any = flask_app(record)
    if by == "extension":
        from flask_chest import FlaskRecorder

        FlaskRecorder(app)
        return app  # type: ignore[no-any-return]
    app.wsgi_app = _wrapped(app.wsgi_app, by)
    return app  # type: ignore[no-any-return]


app = _served(os.environ.get(APPLICATION, "list"), os.environ.get(CONTENDER, "bare"))
