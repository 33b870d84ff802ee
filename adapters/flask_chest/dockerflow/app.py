"""``Dockerflow``: the Flask extension."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Iterable
from typing import Any, Final

from flask import Flask, current_app, g, got_request_exception, request

import chest.dockerflow
from chest import current
from chest.dockerflow import checks
from chest.dockerflow.checks.running import Check
from chest.dockerflow.dockerflow import register_built_in
from chest.dockerflow.logging import request_id_context
from chest.dockerflow.options import DockerflowOptions, environment
from flask_chest.dockerflow.hooks import DockerflowHooks

__all__ = ["Dockerflow"]

EXTENSION: Final = "dockerflow"
"""The extension's name in ``app.extensions``."""

has_flask_login = importlib.util.find_spec("flask_login") is not None


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

        :raises SettingsError: an option in its config, or in the environment, cannot be meant.
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
        """The id of the user who is logged in by Flask-Login; None where nobody is, or nobody knows.

        For subclasses, too: another way of logging in has its ids here.
        """
        if not has_flask_login or not hasattr(current_app, "login_manager"):
            return None
        from flask_login import current_user  # type: ignore[import-untyped]

        try:
            is_authenticated = current_user.is_authenticated
            if callable(is_authenticated):
                is_authenticated = is_authenticated()
            return current_user.get_id() if is_authenticated else None
        except Exception:  # noqa: BLE001 - loading a user may ask a database; a summary must not fail the request
            return None

    def summary_extra(self) -> dict[str, Any]:
        """The fields of the current request's ``request.summary``. For subclasses, to add to them."""
        extra: dict[str, Any] = {
            "errno": 0,
            "agent": request.headers.get("User-Agent", ""),
            "lang": request.headers.get("Accept-Language", ""),
            "method": request.method,
            "path": request.path,
        }
        if self.options_of(current_app).summary_log_querystring:
            extra["querystring"] = request.query_string.decode("utf-8", "replace")
        user_id = self.user_id()
        extra["uid"] = "" if user_id is None else user_id
        extra["rid"] = current().request_id or request_id_context.get()
        begin = g.get("_start_timestamp")
        if begin is not None:
            extra["t"] = milliseconds_since(begin)
        return extra

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


def milliseconds_since(begin: float) -> int:
    """From a Unix time in seconds until now; 0 where the clock was set back."""
    return max(0, int(1000 * (time.time() - begin)))
