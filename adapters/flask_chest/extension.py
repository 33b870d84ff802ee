"""``FlaskRecorder``: the Flask extension."""

from __future__ import annotations

import dataclasses
import logging
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Unpack

from flask import Flask, current_app

from chest import ChestMiddleware, Recorder, SettingsError
from chest.adapter import Chest, ScheduledTransferOptions, Settings, TransferPlan, Works, refuse_asgi
from flask_chest.app_settings import AppSettings, FlaskOptions
from flask_chest.cli import add_commands
from flask_chest.g_variables import offer_chest_on_g
from flask_chest.hooks import Watch
from flask_chest.work.commands import record_commands
from flask_chest.work.events import record_events
from flask_chest.work.flask_work import FlaskWork

if TYPE_CHECKING:
    from chest.dashboard import ChestPage

_logger: Final = logging.getLogger("flask_chest")
EXTENSION: Final = "chest"
"""The extension's name in ``app.extensions``."""


class FlaskRecorder:
    """Leaves one record of every request of a Flask application in every chest.

    What a view sets on ``flask.g`` becomes variables of the record. ``g.chest`` is the request's context
    (:class:`chest.RequestContext`), for everything else. Routes, blueprints and other extensions may be registered before or
    after. One object serves any number of applications: ``app.extensions["chest"]`` is the :class:`AppRecorder` of each.

    For any other WSGI application use :class:`chest.ChestMiddleware`.

    Example::

        recorder = FlaskRecorder()

        def create_app():
            app = Flask(__name__)
            app.config.from_prefixed_env()  # FLASK_CHEST_URLS, FLASK_CHEST_SAMPLE, ...
            recorder.init_app(app)
            return app

    :param app: the application, if it exists already.
    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param recorder: a recorder to share with other applications, instead of ``chests`` and the options of its side.
    :param ui: shows the page at ``ui_path``, ``/__chest__/``, to the users that it allows (:class:`chest.dashboard.ChestPage`).
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
        ui: ChestPage | None = None,
        **options: Unpack[FlaskOptions],
    ) -> None:
        self._options = {**options, "chests": chests}
        self._recorder, self._ui = recorder, ui
        self._entries: list[dict[str, Any]] = []
        self._recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        self._has_warned = False
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Record the application's requests from now on.

        It reads ``app.config``, so call it when the config is complete. Middleware that is put around ``app.wsgi_app`` before is
        measured too. ``SocketIO(app)`` is such middleware: if it comes after ``init_app``, its requests are not recorded.

        :raises SettingsError: for an unknown or invalid option, for options that contradict each other, for an application that
            has a ``FlaskRecorder`` or is not a Flask application. The application is then unchanged.
        """
        given: Any = app
        if not isinstance(given, Flask):
            refuse_asgi(app, "FlaskRecorder")
            raise SettingsError(
                f"FlaskRecorder takes a Flask application, not {type(app).__name__}; for any other WSGI application"
                " use chest.ChestMiddleware"
            )
        if EXTENSION in app.extensions:
            raise SettingsError(
                f"the application {app.name!r} has a FlaskRecorder already: call init_app(app), or FlaskRecorder(app),"
                " once for each application"
            )
        settings = AppSettings.resolve(self._options, app.config)
        watch = Watch(app, settings.takes_all_of_g)
        middleware = ChestMiddleware.from_settings(watch.wsgi_app, settings.core, self._recorder, self._ui)
        # Nothing is refused from here on.
        if settings.core.enabled:
            watch.begin(middleware.recorder.request_side.counters)
            app.wsgi_app = middleware  # type: ignore[method-assign]
        of_app = weakref.ref(app)
        middleware.recorder.ask_whether_testing(lambda: bool((known := of_app()) and known.testing))
        self._begin_transfers(middleware.recorder)
        offer_chest_on_g(app)
        add_commands(app)
        app.extensions[EXTENSION] = AppRecorder(
            middleware.recorder, settings, middleware.recorder.works_of(settings.core)
        )
        self._apps.add(app)

    def work(self, name: str, *, request_id: object = None, kind: str = "work") -> FlaskWork:
        """Record a piece of work that is no request, as :meth:`chest.Recorder.work`, and what it sets on ``flask.g``.

        May be called before :meth:`init_app`. It is recorded for the application whose context is pushed when the work begins, else
        for the only one that this object serves.

        Example::

            @app.cli.command("import")
            @recorder.work("import", kind="command")
            def import_items(): ...

        :param name: what is done.
        :param request_id: the id of the request that asked for it.
        :param kind: a word such as ``"job"``, ``"command"`` or ``"event"``.
        :raises SettingsError: an argument is invalid, or a generator function is decorated.
        """
        work = FlaskWork(self._works, name, request_id, kind)
        work.takes_all_of_g = self._takes_all_of_g
        return work

    def record_events(self, socketio: Any) -> None:
        """Leave a record of each event of a Flask-SocketIO object whose handler is registered after this call.

        Its name is the event's, with the namespace before it if that is not ``/``. It has the request id of the handshake.

        :param socketio: a ``flask_socketio.SocketIO``.
        """
        record_events(socketio, self)

    def record_commands(self, app: Flask) -> None:
        """Leave a record of each run of a command of the application, ``flask import-items``, also of blueprints and groups (``flask user add``).

        Its name is what is typed, without arguments. Not recorded are Flask's own (``run``, ``shell``, ``routes``), those that other
        packages add to every application, and ``flask chest``.

        :param app: an application that :meth:`init_app` was called for.
        """
        record_commands(app, self)

    def _app_recorder(self) -> AppRecorder | None:
        if current_app and EXTENSION in current_app.extensions:
            return current_app.extensions[EXTENSION]  # type: ignore[no-any-return]
        apps = list(self._apps)
        return apps[0].extensions[EXTENSION] if len(apps) == 1 else None

    def _works(self) -> Works | None:
        found = self._app_recorder()
        if found is None and not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "chest: work outside an application context is not recorded, as this FlaskRecorder serves %d applications:"
                " write `with app.app_context():` around it",
                len(self._apps),
            )
        return None if found is None else found.works

    def _takes_all_of_g(self) -> bool:
        found = self._app_recorder()
        return found is not None and found.options.takes_all_of_g

    def scheduled(self, target: str | Chest, **options: Unpack[ScheduledTransferOptions]) -> None:
        """Transfer what is recorded to another chest on a timetable; one of all workers does it at each tick.

        Adds one entry to ``CHEST_SCHEDULED_TRANSFERS``. May be called before or after :meth:`init_app`.

        Example::

            recorder.scheduled("influxdb://metrics:8086/org/bucket", every=300)

        :param target: the chest to write to, or its URL.
        :param options: ``every`` (seconds), ``cron`` (a line of a crontab) or ``trigger`` (one of APScheduler's), and the other
            keys of an entry, see ``docs/transfer.md``.
        :raises SettingsError: an option is unknown or invalid.
        """
        entry = {"to": target, **options}
        TransferPlan.of(entry)
        self._entries.append(entry)
        for recorder in self._recorders:
            recorder.scheduled_transfers.plan(entry)

    def _begin_transfers(self, recorder: Recorder) -> None:
        if recorder in self._recorders:  # shared by several applications
            return
        self._recorders.add(recorder)
        for entry in self._entries:
            recorder.scheduled_transfers.plan(entry)


class AppRecorder(NamedTuple):
    """The value of ``app.extensions["chest"]``."""

    recorder: Recorder
    """Brings the application's records to its chests: tests call ``flush()``, and ``stats()`` shows its state."""
    options: AppSettings
    """Every option with its value, including ``CHEST_G``."""
    works: Works | None
    """Makes the records of :meth:`FlaskRecorder.work`; None if the recorder is disabled."""

    @property
    def settings(self) -> Settings:
        """The core's options, with the service's name filled in."""
        return dataclasses.replace(self.options.core, service=self.recorder.request_side.resource.service)
