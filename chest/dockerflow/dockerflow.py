"""``Dockerflow``: version, heartbeat and checks of any WSGI application."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from chest.dockerflow import checks, version
from chest.dockerflow.checks.running import Check
from chest.dockerflow.heartbeat import Heartbeat
from chest.dockerflow.middleware import DockerflowMiddleware
from chest.dockerflow.options import DockerflowOptions, environment
from chest.recorder.recorder import Recorder
from chest.request.wsgi import WSGIAnswer, WSGIApplication, json_answer, text_answer
from chest.settings.settings import Settings

__all__ = ["Dockerflow"]

logger = logging.getLogger("dockerflow")

_NOT_STORED: Final = {"Cache-Control": "no-store"}
VersionCallback = Callable[[str], Mapping[str, Any] | None]
_Callback = TypeVar("_Callback", bound=VersionCallback)


class Dockerflow:
    """Version, heartbeats and checks of an application, as Mozilla's Dockerflow asks for them.

    For Flask there is ``flask_chest.dockerflow.Dockerflow``.

    Example::

        app = ChestMiddleware(app, chests=[...], dockerflow=Dockerflow(db=engine))

    :param db: a SQLAlchemy engine, for :func:`~chest.dockerflow.checks.check_database_connected`.
    :param redis: a Redis client, for :func:`~chest.dockerflow.checks.check_redis_connected`.
    :param migrate: for :func:`~chest.dockerflow.checks.check_migrations_applied`, see there.
    :param silenced_checks: ids of messages that the heartbeat leaves out.
    :param version_path: the directory in which ``version.json`` lies; None: the current directory at that moment.
    :param config: ``DOCKERFLOW_...`` options (:class:`~chest.dockerflow.options.DockerflowOptions`), before the
        environment's.
    :raises SettingsError: an option is invalid.
    """

    logger = logger

    def __init__(
        self,
        *,
        db: Any = None,
        redis: Any = None,
        migrate: Any = None,
        silenced_checks: Iterable[str] | None = None,
        version_path: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._begin(silenced_checks, os.getcwd() if version_path is None else version_path)
        self.options = DockerflowOptions({} if config is None else config, environment())
        self.options.refuse_mistakes()
        register_built_in(db, redis, migrate)

    def _begin(self, silenced_checks: Iterable[str] | None, version_path: str | os.PathLike[str] | None) -> None:
        self.silenced_checks = list(silenced_checks or ())
        self.version_path = version_path
        self._version_callback: VersionCallback = version.get_version
        self._heartbeat = Heartbeat()

    def wrap(
        self, app: WSGIApplication, recorder: Recorder | None = None, settings: Settings | None = None
    ) -> DockerflowMiddleware:
        """The application, with Dockerflow's paths before it; see :class:`DockerflowMiddleware` for the parameters."""
        return DockerflowMiddleware(app, self, recorder, settings)

    def version_callback(self, func: _Callback) -> _Callback:
        """Use this function for the version, instead of ``version.json``; a decorator.

        :param func: takes ``version_path``; returns a mapping, or None if no version is known.
        """
        self._version_callback = func
        return func

    def check(self, func: Check | None = None, name: str | None = None) -> Any:
        """:func:`chest.dockerflow.checks.register`, by the name that python-dockerflow's documentation uses."""
        return checks.register(func, name) if func is not None else checks.register(name=name)

    # -- answers -------------------------------------------------------------------------------------------------------

    def version_answer(self, path: str | os.PathLike[str] | None) -> WSGIAnswer:
        """The answer of ``/__version__``: the version; 404 if the file is missing; 500 if it cannot be read."""
        try:
            found = self._version_callback(path)  # type: ignore[arg-type]
            return text_answer(404, "version.json not found") if found is None else json_answer(200, found)
        except Exception as error:  # noqa: BLE001 - the callback is the application's
            self.logger.error("chest: the version cannot be read from %s: %r", path, error)
            return text_answer(500, "the version cannot be read; the log says why")

    def heartbeat_answer(
        self,
        options: DockerflowOptions,
        background: Mapping[str, Check] | None = None,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> tuple[WSGIAnswer, int]:
        """The answer of ``/__heartbeat__``, and the worst level of a message.

        :param background: checks beside the registered ones, such as a recorder's; see :meth:`Heartbeat.results`, also for ``within``.
        """
        results = self._heartbeat.results(
            checks.get_checks(),
            self.silenced_checks,
            timeout_seconds=options.check_timeout_seconds,
            cache_seconds=options.heartbeat_cache_seconds,
            within=within,
            background=background,
        )
        status = 200 if results.level < checks.ERROR else options.heartbeat_failed_status_code
        said = {
            "status": checks.level_to_text(results.level),
            "checks": results.statuses,
            "details": results.details,
        }
        return json_answer(status, said, _NOT_STORED), results.level

    def lbheartbeat_answer(self) -> WSGIAnswer:
        """The answer of ``/__lbheartbeat__``. Not 204: some load balancers need 200."""
        return WSGIAnswer(200, "text/html; charset=utf-8", b"", _NOT_STORED)

    def tell_heartbeat(self, level: int, *senders: object) -> None:
        """Send the signal of a heartbeat, if the signals have been imported; a receiver that raises is logged.

        :param senders: senders beside this object. A receiver is called once.
        """
        signals = sys.modules.get("chest.dockerflow.signals")
        if signals is None:
            return
        signal = signals.heartbeat_passed if level < checks.ERROR else signals.heartbeat_failed
        reached = set()
        for sender in (self, *senders):
            for receiver in signal.receivers_for(sender):
                if receiver not in reached:
                    reached.add(receiver)
                    self._call(receiver, sender, level)

    def _call(self, receiver: Callable[..., object], sender: object, level: int) -> None:
        try:
            receiver(sender, level=level)
        except Exception:
            self.logger.exception("chest: a receiver of the heartbeat's signal failed")


def register_built_in(db: Any, redis: Any, migrate: Any) -> None:
    """Register the built-in checks of the arguments that are not None."""
    if db is not None:
        checks.register_partial(checks.check_database_connected, db)
    if redis is not None:
        checks.register_partial(checks.check_redis_connected, redis)
    if migrate is not None:
        checks.register_partial(checks.check_migrations_applied, migrate)
