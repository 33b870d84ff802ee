"""``ChestMiddleware``: what users wrap around their application."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Unpack

from chest.chests.contract import Chest
from chest.errors import SettingsError
from chest.recorder.recorder import Recorder
from chest.request.client.address import ClientAddress, with_address
from chest.request.closed_contexts import NO_REQUEST
from chest.request.context import ENVIRON_KEY
from chest.request.middleware import RequestMiddleware, is_being_recorded
from chest.request.selection import Selection
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment, put_in
from chest.settings.arguments import Options
from chest.settings.asgi import refuse_asgi
from chest.settings.service_name import DEFAULT_SERVICE, service_of
from chest.settings.settings import RECORDER_SIDE, Settings
from chest.settings.trusted_proxies import TrustedProxies

if TYPE_CHECKING:
    from chest.dashboard import ChestPage
    from chest.dockerflow import Dockerflow

_logger = logging.getLogger("chest")


class ChestMiddleware(RequestMiddleware):
    """Leaves one record of every request of ``app`` in every chest.

    A request never waits for a store and never fails because of one. Wrap the whole application once, outside of everything
    that is to be measured. If two are mounted, the outer one records.

    Example::

        app = ChestMiddleware(app, chests=["sqlite:///chest.sqlite3"])

    :param app: any WSGI application (PEP 3333).
    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param recorder: a recorder to share with other apps, instead of ``chests`` and the options of its side.
    :param dockerflow: answers ``/__heartbeat__`` and other paths before the application (:class:`chest.dockerflow.Dockerflow`).
    :param ui: shows the page at ``ui_path``, ``/__chest__/``, to the users that it allows (:class:`chest.dashboard.ChestPage`).
    :param options: see ``docs/options.md``.
    :raises SettingsError: for an unknown or invalid option, for options that contradict each other, for an ASGI application.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        chests: Sequence[str | Chest] | None = None,
        recorder: Recorder | None = None,
        dockerflow: Dockerflow | None = None,
        ui: ChestPage | None = None,
        **options: Unpack[Options],
    ) -> None:
        if not callable(app):
            raise SettingsError(f"ChestMiddleware wraps a WSGI application, and {app!r} is not callable")
        refuse_asgi(app, "ChestMiddleware")
        self._set_up(app, Settings.resolve({**options, "chests": chests}), recorder, dockerflow, ui)

    @classmethod
    def from_settings(
        cls,
        app: WSGIApplication,
        settings: Settings,
        recorder: Recorder | None = None,
        ui: ChestPage | None = None,
    ) -> ChestMiddleware:
        """A middleware with resolved settings; for adapters, which read a config mapping."""
        middleware = cls.__new__(cls)
        middleware._set_up(app, settings, recorder, ui=ui)
        return middleware

    def _set_up(
        self,
        app: WSGIApplication,
        settings: Settings,
        recorder: Recorder | None,
        dockerflow: Dockerflow | None = None,
        ui: ChestPage | None = None,
    ) -> None:
        if recorder is not None:
            _refuse_the_recorders_options(settings)
        self.settings = settings
        self.recorder = recorder or Recorder.from_settings(settings, default_service=_service_of(app, settings))
        if dockerflow is not None:
            app = dockerflow.wrap(app, self.recorder if settings.enabled else None, settings)
        if ui is not None and settings.enabled:
            from chest.dashboard.page import PageMount  # it asks what most applications need not

            app = PageMount(app, ui.of(self.recorder), settings.ui_path)
        self.app = app
        if not settings.enabled:
            if recorder is None:
                self.recorder.close()  # nothing is open yet; from here on nothing will be, not even after a fork
            self.__class__ = _DisabledMiddleware
            return
        if settings.client_address:
            trusted = TrustedProxies(settings.trusted_proxies)
            app = with_address(app, ClientAddress(trusted, settings.client_address_header))
        super().__init__(
            app,
            self.recorder.request_side.offer_line,
            Selection.of(settings),
            self.recorder.request_side,
            request_id_header=settings.request_id_header,
            echo_request_id=settings.echo_request_id,
            request_id_generator=settings.request_id_generator,
        )


class _DisabledMiddleware(ChestMiddleware):
    """``enabled=False``: calls the bare application."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_being_recorded(environ):
            put_in(environ, ENVIRON_KEY, NO_REQUEST)  # the application may write to it all the same
        return self.app(environ, start_response)


def _refuse_the_recorders_options(settings: Settings) -> None:
    theirs = sorted(name for name in RECORDER_SIDE if settings.source_of(name) in ("argument", "config"))
    if theirs:
        raise SettingsError(
            f"{', '.join(theirs)} belong to the recorder: give them to Recorder(...), or omit recorder="
        )


def _service_of(app: WSGIApplication, settings: Settings) -> str:
    """The application's name, for records without the option ``service``."""
    name = service_of(app)
    if name is None and settings.service is None and settings.enabled:
        _logger.warning(
            "chest: %s does not say which application it is, so its records are of the service %r, as those of any other"
            " such application; set CHEST_SERVICE, or give service=",
            type(app).__qualname__,
            DEFAULT_SERVICE,
        )
    return name or DEFAULT_SERVICE
