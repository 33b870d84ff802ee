"""``DockerflowMiddleware``: Dockerflow's paths before a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from chest.dockerflow.recorder_checks import RecorderChecks
from chest.dockerflow.summary import SummaryAttributes
from chest.recorder import Recorder
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.settings import Settings
from chest.wsgi import Answer, StartResponse, WSGIApplication, WSGIEnvironment, text_answer

if TYPE_CHECKING:
    from chest.dockerflow.dockerflow import Dockerflow

__all__ = ["ERROR_MESSAGE", "ERROR_PATH", "HEARTBEAT_PATH", "LBHEARTBEAT_PATH", "VERSION_PATH", "DockerflowMiddleware"]

VERSION_PATH: Final = "/__version__"
HEARTBEAT_PATH: Final = "/__heartbeat__"
LBHEARTBEAT_PATH: Final = "/__lbheartbeat__"
ERROR_PATH: Final = "/__error__"
ERROR_MESSAGE: Final = "The __error__ endpoint was called"
_ALLOWED: Final = ("GET", "HEAD")


class DockerflowMiddleware:
    """Answers Dockerflow's paths, and hands every other request to the application.

    ``ChestMiddleware(app, dockerflow=...)`` makes one, and knows its recorder. By itself it is for an application that is
    not recorded.

    :param app: any WSGI application.
    :param dockerflow: what to answer.
    :param recorder: whose state is part of the heartbeat; with a ``log:`` chest requests get the attributes that it shows.
    :param settings: of the requests that are recorded: what is redacted.
    """

    def __init__(
        self,
        app: WSGIApplication,
        dockerflow: Dockerflow,
        recorder: Recorder | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.app = app
        self.dockerflow = dockerflow
        self._recorder_checks = None if recorder is None else RecorderChecks(recorder)
        self._summary = SummaryAttributes.for_recorder(recorder, settings)
        self._id_key = header_key(dockerflow.options.request_id_header_name)
        views: Mapping[str, Callable[[], Answer]] = {
            VERSION_PATH: self._version,
            HEARTBEAT_PATH: self._heartbeat,
            LBHEARTBEAT_PATH: dockerflow.lbheartbeat_answer,
            ERROR_PATH: self._error,
        }
        self._views = {
            path: view for path, view in views.items() if path != ERROR_PATH or dockerflow.options.error_endpoint
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        view = self._views.get(environ.get("PATH_INFO", ""))
        context = environ.get(ENVIRON_KEY)
        if view is None:
            if isinstance(context, RequestContext) and context.is_being_recorded:
                if self._id_key in environ:
                    context.request_id = environ[self._id_key]
                if self._summary is not None:
                    self._summary.tell(context, environ, with_query=self.dockerflow.options.summary_log_querystring)
            return self.app(environ, start_response)
        if isinstance(context, RequestContext) and not self.dockerflow.options.record_requests:
            context.exclude()
        if environ.get("REQUEST_METHOD") not in _ALLOWED:
            return text_answer(405, "GET or HEAD", {"Allow": "GET, HEAD"})(environ, start_response)
        return view()(environ, start_response)

    def _version(self) -> Answer:
        return self.dockerflow.version_answer(self.dockerflow.version_path)

    def _heartbeat(self) -> Answer:
        more = None if self._recorder_checks is None else self._recorder_checks.by_name()
        answer, level = self.dockerflow.heartbeat_answer(self.dockerflow.options, more)
        self.dockerflow.tell_heartbeat(level)
        return answer

    def _error(self) -> Answer:
        self.dockerflow.logger.error(ERROR_MESSAGE)
        raise RuntimeError("This is what the /__error__ endpoint is for.")


def header_key(name: str | None) -> str | None:
    """Under which key ``environ`` has the header of this name."""
    return None if name is None else "HTTP_" + name.upper().replace("-", "_")
