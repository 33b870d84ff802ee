"""``DockerflowHooks``: the views of Dockerflow in one Flask application, and the callbacks around each request."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from flask import Blueprint, Flask, Response, abort, g, has_request_context, request

from chest import Recorder, current
from chest.adapter import (
    ERROR_MESSAGE,
    ERROR_PATH,
    HEARTBEAT_PATH,
    LBHEARTBEAT_PATH,
    VERSION_PATH,
    RecorderChecks,
    SummaryAttributes,
    told_request_id,
)
from chest.dockerflow import WSGIAnswer, request_id_context
from flask_chest.dockerflow.body import is_complete, watch_end

if TYPE_CHECKING:
    from flask_chest.dockerflow.app import Dockerflow

RECORDER_EXTENSION: Final = "chest"
_ID_HEADER: Final = "X-Request-ID"


class RequestId(str):
    """An id on ``flask.g``; of a class of its own, so that a recorder does not take it for one of the view's variables."""

    __slots__ = ()


class DockerflowHooks:
    """The views and callbacks of one application.

    :param app: whose.
    :param dockerflow: what it is asked for.
    """

    def __init__(self, app: Flask, dockerflow: Dockerflow) -> None:
        self._app = app
        self._dockerflow = dockerflow
        self._recorder: Recorder | None = None
        self._recorder_checks: RecorderChecks | None = None
        self._summary: SummaryAttributes | None = None

    def blueprint(self) -> Blueprint:
        """The views, with the callbacks for all of the application's requests."""
        blueprint = Blueprint("dockerflow", __name__)
        blueprint.add_url_rule(VERSION_PATH, "version", self._version)
        blueprint.add_url_rule(HEARTBEAT_PATH, "heartbeat", self._heartbeat)
        blueprint.add_url_rule(LBHEARTBEAT_PATH, "lbheartbeat", self._lbheartbeat)
        blueprint.add_url_rule(ERROR_PATH, "error", self._error)
        blueprint.before_app_request(self._begin)
        blueprint.after_app_request(self._end)
        blueprint.teardown_app_request(_forget_request_id)
        return blueprint

    # -- views ---------------------------------------------------------------------------------------------------------

    def _version(self) -> Response:
        self._leave_out()
        dockerflow = self._dockerflow
        is_own = dockerflow.has_own_version_path
        path = dockerflow.version_path if is_own else os.path.dirname(self._app.root_path)
        return self._response(dockerflow.version_answer(path))

    def _heartbeat(self) -> Response:
        self._leave_out()
        self._look_for_recorder()
        answer, level = self._dockerflow.heartbeat_answer(
            self._dockerflow.options_of(self._app),
            None if self._recorder_checks is None else self._recorder_checks.by_name(),
            self._app.app_context,
        )
        self._dockerflow.tell_heartbeat(level, self._app)
        return self._response(answer)

    def _lbheartbeat(self) -> Response:
        self._leave_out()
        return self._response(self._dockerflow.lbheartbeat_answer())

    def _error(self) -> Response:
        if not self._dockerflow.options_of(self._app).error_endpoint:
            abort(404)
        self._leave_out()
        self._dockerflow.logger.error(ERROR_MESSAGE)
        raise RuntimeError("This is what the /__error__ endpoint is for.")

    def _response(self, answer: WSGIAnswer) -> Response:
        headers = dict(answer.headers)
        return self._app.response_class(answer.body, answer.status, headers, content_type=answer.content_type)

    def _leave_out(self) -> None:
        if not self._dockerflow.options_of(self._app).record_requests:
            current().exclude()

    # -- around each request -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        context = current()
        is_recorded = context.is_being_recorded
        options = self._dockerflow.options_of(self._app)
        name = options.request_id_header_name
        told_id = told_request_id(request.headers.get(name or _ID_HEADER)) if name or not is_recorded else None
        if is_recorded and told_id:
            context.request_id = told_id
        request_id = RequestId(context.request_id or told_id or uuid4())
        g._request_id_token = request_id_context.set(request_id)
        g._request_id = request_id
        if not hasattr(g, "request_id"):
            g.request_id = request_id
        g._start_timestamp = time.time()
        g._has_exception = False
        if is_recorded:
            self._look_for_recorder()
            if self._summary is not None:
                self._summary.tell(context, request.environ, with_query=options.summary_log_querystring)

    def _end(self, response: Response) -> Response:
        logger = self._dockerflow.summary_logger
        if g.get("_has_exception") or not logger.isEnabledFor(logging.INFO):
            return response
        g._summary_status = str(response.status_code)
        extra = self._dockerflow.summary_extra()
        text = g.pop("_summary_text", "")
        if is_complete(response):
            write_summary(logger, extra, text)
            return response

        begin, app, dockerflow = g.get("_start_timestamp"), self._app, self._dockerflow

        def end(error: BaseException | None) -> None:
            if begin is not None:
                extra["t"] = max(0, int(1000 * (time.time() - begin)))
            failed = {} if error is None else dockerflow.failure(app, error)
            extra.update(errno=failed.get("errno", extra.get("errno", 0)))
            write_summary(logger, extra, failed.get("msg", text))

        watch_end(response, end)
        return response

    def on_exception(self, sender: object, exception: BaseException, **_: Any) -> None:
        """Note an exception that the application's error handlers do not answer."""
        if has_request_context():
            g._has_exception = True
            g._summary_error = exception
            extra = self._dockerflow.summary_extra()
            write_summary(self._dockerflow.summary_logger, extra, g.pop("_summary_text", ""))

    def _look_for_recorder(self) -> None:
        """Find the application's recorder, which may be added later than this extension; once found, it is kept."""
        found = self._app.extensions.get(RECORDER_EXTENSION)
        if self._recorder is not None or found is None or not found.settings.enabled:
            return
        shows_stores = self._dockerflow.options_of(self._app).heartbeat_shows_stores
        self._recorder_checks = RecorderChecks(found.recorder, shows_stores=shows_stores)
        self._summary = SummaryAttributes.for_recorder(found.recorder, found.settings)
        self._recorder = found.recorder


def _forget_request_id(_: BaseException | None) -> None:
    """Forget the id: another request gets the thread. Called twice for a stream; after an asynchronous view in another context."""
    token: Token[str | None] | None = g.pop("_request_id_token", None)
    if token is not None:
        with suppress(ValueError):
            request_id_context.reset(token)


def write_summary(logger: logging.Logger, extra: dict[str, Any], text: str) -> None:
    """Write the summary of a request that has ended.

    :param extra: its fields.
    :param text: why it failed, if it did.
    """
    if extra.get("errno"):
        logger.error("%s", text, extra=extra)
    else:
        logger.info("", extra=extra)
