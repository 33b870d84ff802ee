"""``ChestMiddleware``: what users wrap around their application."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from inspect import isroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chest.chests.base import Chest
from chest.errors import SettingsError
from chest.recorder import DEFAULT_SERVICE, Recorder
from chest.request.context import ENVIRON_KEY, NO_REQUEST
from chest.request.middleware import RequestMiddleware, is_being_recorded
from chest.request.redaction import Redaction
from chest.request.selection import Selection
from chest.settings import RECORDER_SIDE, Settings
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from chest.dockerflow import Dockerflow


class ChestMiddleware(RequestMiddleware):
    """Leaves one record of every request of ``app`` in every chest.

    A request never waits for a store and never fails because of one. Wrap the whole application once, outermost of what is
    to be measured; mounted twice, the outer one records.

    Example::

        app = ChestMiddleware(app, chests=["sqlite:///chest.sqlite3"])

    :param app: any WSGI application (PEP 3333).
    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param recorder: a recorder to share with other apps, in the place of ``chests`` and the options of its side.
    :param dockerflow: answers ``/__heartbeat__`` and its like before the application (:class:`chest.dockerflow.Dockerflow`).
    :param options: see ``docs/options.md``.
    :raises SettingsError: for an option that is unknown, wrong, or contradicts another.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        chests: Sequence[str | Chest] | None = None,
        recorder: Recorder | None = None,
        dockerflow: Dockerflow | None = None,
        **options: Any,
    ) -> None:
        if not callable(app):
            raise SettingsError(f"ChestMiddleware wraps a WSGI application, and {app!r} cannot be called")
        if chests is not None:
            options["chests"] = chests
        caller = sys._getframe(1).f_globals.get("__name__", DEFAULT_SERVICE)
        self._set_up(app, Settings.resolve(options), recorder, service_of(app, caller), dockerflow)

    @classmethod
    def from_settings(
        cls, app: WSGIApplication, settings: Settings, recorder: Recorder | None = None
    ) -> ChestMiddleware:
        """A middleware of settings that were resolved already; for adapters, which have a config mapping to read."""
        middleware = cls.__new__(cls)
        middleware._set_up(app, settings, recorder, service_of(app, DEFAULT_SERVICE))
        return middleware

    def _set_up(
        self,
        app: WSGIApplication,
        settings: Settings,
        recorder: Recorder | None,
        default_service: str,
        dockerflow: Dockerflow | None = None,
    ) -> None:
        if recorder is not None:
            _refuse_the_recorders_options(settings)
        self.settings = settings
        self.recorder = recorder or Recorder.from_settings(settings, default_service=default_service)
        if dockerflow is not None:
            app = dockerflow.wrap(app, self.recorder if settings.enabled else None, settings)
        self.app = app
        if not settings.enabled:
            if recorder is None:
                self.recorder.close()  # nothing is open yet; from here on nothing will be, not even after a fork
            self.__class__ = _DisabledMiddleware
            return
        super().__init__(
            app,
            self.recorder.offer_line,
            _selection_of(settings),
            self.recorder,
            request_id_header=settings.request_id_header,
            echo_request_id=settings.echo_request_id,
            request_id_generator=settings.request_id_generator,
        )


class _DisabledMiddleware(ChestMiddleware):
    """With ``enabled=False``: the bare application."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if ENVIRON_KEY not in environ or not is_being_recorded(environ):
            environ[ENVIRON_KEY] = NO_REQUEST  # the application may write to it all the same
        return self.app(environ, start_response)


def _selection_of(settings: Settings) -> Selection:
    return Selection(
        tracked_vars=settings.tracked_vars,
        exclude_paths=settings.exclude_paths,
        redaction=Redaction(settings.redact, settings.unredacted),
        sample=settings.sample,
        keep_slower_ms=settings.keep_slower_ms,
        before_record=settings.before_record,
    )


def _refuse_the_recorders_options(settings: Settings) -> None:
    theirs = sorted(name for name in RECORDER_SIDE if settings.source_of(name) in ("argument", "config"))
    if theirs:
        raise SettingsError(
            f"{', '.join(theirs)} belong to the recorder: give them to Recorder(...), or leave recorder= out"
        )


def service_of(app: object, caller: str) -> str:
    """The import name of an application: its own ``import_name`` (Flask's), also behind its ``wsgi_app``; a function's module.

    An object of a framework's class says nothing of whose it is, so the module that wraps it (``caller``) counts. For a
    program that was started as a file, the file's name without its ending.
    """
    owner = getattr(app, "__self__", app)
    name = getattr(owner, "import_name", None) or (getattr(app, "__module__", None) if isroutine(app) else None)
    if name is None or (owner is not app and not hasattr(owner, "import_name")):
        name = caller
    if name == "__main__":
        name = Path(getattr(sys.modules["__main__"], "__file__", None) or DEFAULT_SERVICE).stem
    safe = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in str(name)
    )
    return safe[:100].strip(".") or DEFAULT_SERVICE
