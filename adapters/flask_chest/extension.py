"""``FlaskRecorder``: the Flask extension."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from flask import Flask

from chest import ChestMiddleware, Recorder, SettingsError
from chest.adapter import Chest, ExportPlan, Settings
from flask_chest.app_settings import AppSettings
from flask_chest.cli import add_commands
from flask_chest.g_variables import offer_chest_on_g
from flask_chest.hooks import Watch

EXTENSION: Final = "chest"
"""The extension's name in ``app.extensions``."""


class FlaskRecorder:
    """Leaves one record of every request of a Flask application in every chest.

    What a view leaves on ``flask.g`` becomes variables of the record; ``g.chest`` is the request's context, for everything
    else that is to be said (:class:`chest.RequestContext`). Routes and blueprints may be registered before or after. One
    object serves any number of applications: what belongs to one is in ``app.extensions["chest"]``, an :class:`AppRecorder`.

    For an application that is no Flask application use :class:`chest.ChestMiddleware`.

    Example::

        recorder = FlaskRecorder()

        def create_app():
            app = Flask(__name__)
            app.config.from_prefixed_env()  # FLASK_CHEST_URLS, FLASK_CHEST_SAMPLE, ...
            recorder.init_app(app)
            return app

    :param app: the application, if it is there already.
    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param recorder: a recorder to share with other applications, in the place of ``chests`` and the options of its side.
    :param options: see ``docs/options.md``; and ``g``, which variables of ``flask.g`` are recorded: ``"all"`` (the default),
        ``"tracked"`` (those that ``tracked_vars`` or a ``flask_chest`` decorator names) or ``"none"`` (those that a
        decorator names). Each is also a key of ``app.config`` (``CHEST_G``, ``CHEST_URLS`` for ``chests``) and an
        environment variable, in this order.
    :raises SettingsError: as :meth:`init_app`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        chests: Sequence[str | Chest] | None = None,
        recorder: Recorder | None = None,
        **options: Any,
    ) -> None:
        self._options = options if chests is None else {**options, "chests": chests}
        self._recorder = recorder
        self._exports: list[dict[str, Any]] = []
        self._recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Record the application's requests from now on.

        Reads ``app.config``, so call it when that is complete; set ``app.wsgi_app``'s other middleware before it to have it
        measured too.

        :raises SettingsError: for an option that is unknown, wrong, or contradicts another; for an application that is
            recorded already, or is none of Flask's. The application is then as it was.
        """
        if not isinstance(app, Flask):
            raise SettingsError(
                f"FlaskRecorder takes a Flask application, and no {type(app).__name__}; for any other WSGI application"
                " there is chest.ChestMiddleware"
            )
        if EXTENSION in app.extensions:
            raise SettingsError(
                f"the application {app.name!r} has a FlaskRecorder already: call init_app(app), or FlaskRecorder(app),"
                " once for each application"
            )
        settings = AppSettings.resolve(self._options, app.config)
        watch = Watch(app, settings.takes_all_of_g)
        middleware = ChestMiddleware.from_settings(watch.wsgi_app, settings.core, self._recorder)
        # Nothing is refused from here on.
        if settings.core.enabled:
            watch.begin(middleware.recorder.counters)
            app.wsgi_app = middleware  # type: ignore[method-assign]
        self._begin_exports(middleware.recorder)
        offer_chest_on_g(app)
        add_commands(app)
        app.extensions[EXTENSION] = AppRecorder(middleware.recorder, settings)

    def scheduled(self, target: str | Chest, **options: Any) -> None:
        """Export what is recorded to another chest on a timetable, in one of all the workers at a time.

        Beside ``CHEST_EXPORTS``, of which it is one entry, and which says it without code. Before or after :meth:`init_app`.

        Example::

            recorder.scheduled("influxdb://metrics:8086/org/bucket", every=300)

        :param target: where to: a chest's URL, or a chest.
        :param options: ``every`` (seconds), ``cron`` (a line of a crontab) or ``trigger`` (one of APScheduler's), and what
            else an entry has, see ``docs/transfer.md``.
        :raises SettingsError: it cannot be meant.
        """
        entry = {"to": target, **options}
        ExportPlan.of(entry)
        self._exports.append(entry)
        for recorder in self._recorders:
            recorder.exports.plan(entry)

    def _begin_exports(self, recorder: Recorder) -> None:
        if recorder in self._recorders:  # shared by several applications
            return
        self._recorders.add(recorder)
        for entry in self._exports:
            recorder.exports.plan(entry)


class AppRecorder(NamedTuple):
    """What ``app.extensions["chest"]`` is."""

    recorder: Recorder
    """Brings the application's records to its chests: tests ``flush()`` it, and ``stats()`` shows how it is."""
    options: AppSettings
    """Every option with its value, ``CHEST_G`` too."""

    @property
    def settings(self) -> Settings:
        """The core's options, with the service's name filled in."""
        return dataclasses.replace(self.options.core, service=self.recorder.resource.service)
