"""``Dockerflow``: the Flask extension."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterable
from typing import Any, Final

from flask import Flask, current_app, g, got_request_exception, request

import chest.dockerflow
from chest import current
from chest.adapter import NO_REQUEST, Check, RequestSummaries, Settings, environment, register_built_in
from chest.dockerflow import DockerflowOptions, checks, request_id_context
from flask_chest.client import request_user
from flask_chest.dockerflow.hooks import RECORDER_EXTENSION, DockerflowHooks
from flask_chest.g_variables import request_variables

__all__ = ["Dockerflow"]

EXTENSION: Final = "dockerflow"
"""The extension's name in ``app.extensions``."""


class Dockerflow(chest.dockerflow.Dockerflow):
    """``/__version__``, ``/__heartbeat__``, ``/__lbheartbeat__`` and ``request.summary`` for a Flask application.

    With a :class:`~flask_chest.FlaskRecorder` on the application, before or after, the request's id is the recorder's, and
    the recorder's state is part of the heartbeat; without one it works as well. One object serves any number of
    applications. Options are ``DOCKERFLOW_...`` in ``app.config``, else in the environment:
    :class:`~chest.dockerflow.options.DockerflowOptions`.

    Example::

        app = Flask(__name__)
        dockerflow = Dockerflow(app, db=db)

    :param app: the application, if it is there already.
    :param db: Flask-SQLAlchemy's ``SQLAlchemy``, or an engine, whose connection is checked.
    :param redis: a Redis client, or a ``FlaskRedis``, whose connection is checked.
    :param migrate: Flask-Migrate's ``Migrate``, whose migrations are checked.
    :param silenced_checks: ids of messages that the heartbeat leaves out.
    :param version_path: the directory in which ``version.json`` lies; None takes the parent of the application's root path.
    :raises SettingsError: as :meth:`init_app`.
    """

    logger = logging.getLogger("dockerflow.flask")

    def __init__(
        self,
        app: Flask | None = None,
        db: Any = None,
        redis: Any = None,
        migrate: Any = None,
        silenced_checks: Iterable[str] | None = None,
        version_path: str | os.PathLike[str] | None = None,
    ) -> None:
        self._begin(silenced_checks, version_path)
        self.has_own_version_path = version_path is not None
        self.summary_logger = logging.getLogger("request.summary")
        if self.logger.level == logging.NOTSET:
            self.logger.setLevel(logging.INFO)
        self._environ = environment()
        if app is not None:
            self.init_app(app)
        register_built_in(db, redis, migrate)

    def init_app(self, app: Flask) -> None:
        """Give the application Dockerflow's views, and a ``request.summary`` of each request.

        :raises SettingsError: an option in its config, or in the environment, is invalid.
        """
        self.options_of(app).refuse_mistakes()
        if self.version_path is None:
            self.version_path = os.path.dirname(app.root_path)
        hooks = DockerflowHooks(app, self)
        app.register_blueprint(hooks.blueprint())
        got_request_exception.connect(hooks.on_exception, sender=app)
        app.extensions[EXTENSION] = self

    def options_of(self, app: Flask) -> DockerflowOptions:
        """The application's options, as they are now."""
        return DockerflowOptions(app.config, self._environ)

    def user_id(self) -> Any:
        """The id of the request's user; None if it was not set and the request has loaded no user. Loads no user.

        A subclass with another way of logging in may override it; ``current().user = ...`` also sets it in the record.
        """
        return request_user()

    def summary_extra(self) -> dict[str, Any]:
        """The fields of the current request's ``request.summary``; subclasses may add to them."""
        with_query = self.options_of(current_app).summary_log_querystring
        begin = g.get("_start_timestamp")
        extra: dict[str, Any] = summaries_of(current_app).fields(
            request.environ,
            current(),
            request_id=request_id_context.get() or "",
            status=g.get("_summary_status"),
            user_id=self.user_id(),
            variables=request_variables("uid", "user_id"),
            duration_ns=0 if begin is None else nanoseconds_since(begin),
            with_query=with_query,
            error=g.pop("_summary_error", None),
        )
        if with_query:
            extra.setdefault("querystring", "")
        if begin is None:
            del extra["t"]
        g._summary_text = extra.pop("msg", "")
        return extra

    def failure(self, app: Flask, error: BaseException) -> dict[str, Any]:
        """What an exception during a response changes in a summary: ``errno`` and ``msg``."""
        return summaries_of(app).fields({}, NO_REQUEST, error=error)

    # -- python-dockerflow's former names ------------------------------------------------------------------------------

    @property
    def checks(self) -> dict[str, Check]:
        """The registered checks. Use :func:`chest.dockerflow.checks.get_checks`."""
        warnings.warn(
            "`dockerflow.checks` is deprecated, use `checks.get_checks()` instead.", DeprecationWarning, stacklevel=2
        )
        return checks.get_checks()

    def init_check(self, check: Any, obj: Any) -> Check:
        """Register a check of an object. Use :func:`chest.dockerflow.checks.register_partial`."""
        warnings.warn(
            "`dockerflow.init_check()` is deprecated, use `checks.register_partial()` instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return checks.register_partial(check, obj)


SUMMARIES: Final = "dockerflow.summaries"
"""Under this key ``app.extensions`` holds what makes the application's summaries."""


def summaries_of(app: Flask) -> RequestSummaries:
    """What makes the application's summaries, by the settings of its recorder if it has one."""
    recorded = app.extensions.get(RECORDER_EXTENSION)
    known = app.extensions.get(SUMMARIES)
    if known is None or known[0] is not recorded:
        settings = Settings() if recorded is None else recorded.settings
        known = app.extensions[SUMMARIES] = recorded, RequestSummaries(settings)
    summaries: RequestSummaries = known[1]
    return summaries


def nanoseconds_since(begin: float) -> int:
    """Nanoseconds since a Unix time in seconds; 0 if the clock was set back."""
    return max(0, int(1e9 * (time.time() - begin)))
