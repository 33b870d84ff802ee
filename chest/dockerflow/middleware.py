"""``DockerflowMiddleware``: Dockerflow's paths before a WSGI application."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from chest.dockerflow.recorder_checks import RecorderChecks
from chest.dockerflow.summary import SummaryAttributes
from chest.recorder.recorder import Recorder
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.request.request_id import accepted
from chest.request.wsgi import StartResponse, WSGIAnswer, WSGIApplication, WSGIEnvironment, text_answer, value_in
from chest.settings.asgi import refuse_asgi
from chest.settings.settings import Settings

if TYPE_CHECKING:
    from chest.dockerflow.dockerflow import Dockerflow

__all__ = [
    "ERROR_MESSAGE",
    "ERROR_PATH",
    "HEARTBEAT_PATH",
    "LBHEARTBEAT_PATH",
    "VERSION_PATH",
    "DockerflowMiddleware",
    "told_request_id",
]

VERSION_PATH: Final = "/__version__"
HEARTBEAT_PATH: Final = "/__heartbeat__"
LBHEARTBEAT_PATH: Final = "/__lbheartbeat__"
ERROR_PATH: Final = "/__error__"
ERROR_MESSAGE: Final = "The __error__ endpoint was called"
_ALLOWED: Final = ("GET", "HEAD")
_CLOUD_TRACE: Final = re.compile(r"([0-9a-f]{8,32})/[0-9]{1,20}(?:;o=[0-9])?")
"""``X-Cloud-Trace-Context``: the ids of trace and span, and whether it is traced."""


class DockerflowMiddleware:
    """Answers Dockerflow's paths, and passes every other request to the application.

    ``ChestMiddleware(app, dockerflow=...)`` makes one with its recorder. Use it by itself for an application that is
    not recorded.

    :param app: any WSGI application.
    :param dockerflow: makes the answers.
    :param recorder: its state is part of the heartbeat; with a ``log:`` chest requests get the attributes that it shows.
    :param settings: of the recorded requests: what is redacted.
    :raises SettingsError: for an ASGI application.
    """

    def __init__(
        self,
        app: WSGIApplication,
        dockerflow: Dockerflow,
        recorder: Recorder | None = None,
        settings: Settings | None = None,
    ) -> None:
        refuse_asgi(app, "DockerflowMiddleware")
        self.app = app
        self.dockerflow = dockerflow
        shows_stores = dockerflow.options.heartbeat_shows_stores
        self._recorder_checks = None if recorder is None else RecorderChecks(recorder, shows_stores=shows_stores)
        self._summary = SummaryAttributes.for_recorder(recorder, settings)
        self._id_key = header_key(dockerflow.options.request_id_header_name)
        views: Mapping[str, Callable[[], WSGIAnswer]] = {
            VERSION_PATH: self._version,
            HEARTBEAT_PATH: self._heartbeat,
            LBHEARTBEAT_PATH: dockerflow.lbheartbeat_answer,
            ERROR_PATH: self._error,
        }
        self._views = {
            path: view for path, view in views.items() if path != ERROR_PATH or dockerflow.options.error_endpoint
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        view = self._views.get(value_in(environ, "PATH_INFO") or "")
        context = value_in(environ, ENVIRON_KEY)
        if view is None:
            if isinstance(context, RequestContext) and context.is_being_recorded:
                told_id = None if self._id_key is None else told_request_id(value_in(environ, self._id_key))
                if told_id is not None:
                    context.request_id = told_id
                if self._summary is not None:
                    self._summary.tell(context, environ, with_query=self.dockerflow.options.summary_log_querystring)
            return self.app(environ, start_response)
        if isinstance(context, RequestContext) and not self.dockerflow.options.record_requests:
            context.exclude()
        if environ.get("REQUEST_METHOD") not in _ALLOWED:
            return text_answer(405, "GET or HEAD", {"Allow": "GET, HEAD"})(environ, start_response)
        return view()(environ, start_response)

    def _version(self) -> WSGIAnswer:
        return self.dockerflow.version_answer(self.dockerflow.version_path)

    def _heartbeat(self) -> WSGIAnswer:
        background = None if self._recorder_checks is None else self._recorder_checks.by_name()
        answer, level = self.dockerflow.heartbeat_answer(self.dockerflow.options, background)
        self.dockerflow.tell_heartbeat(level)
        return answer

    def _error(self) -> WSGIAnswer:
        self.dockerflow.logger.error(ERROR_MESSAGE)
        raise RuntimeError("This is what the /__error__ endpoint is for.")


def told_request_id(header: object) -> str | None:
    """The id in a header, if Chest accepts it; of Google's ``X-Cloud-Trace-Context`` the id of the trace."""
    trace = _CLOUD_TRACE.fullmatch(header) if isinstance(header, str) else None
    return accepted(header if trace is None else trace[1])


def header_key(name: str | None) -> str | None:
    """The key of the header of this name in ``environ``."""
    return None if name is None else "HTTP_" + name.upper().replace("-", "_")
