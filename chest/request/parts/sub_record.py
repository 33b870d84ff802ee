"""``SubRecord``: a part of a request that leaves a record of its own, such as one call of a view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from chest.request.completion import RequestCompletion
from chest.request.context import RequestContext
from chest.request.fields import mounted, scheme_of
from chest.request.metadata import RequestMetadata
from chest.request.record_emitter import RecordEmitter
from chest.request.sending import handled_here
from chest.request.wsgi import WSGIEnvironment, value_in


class SubRecord(RequestCompletion):
    """A part of a request, from before it until its end; :class:`RecordEmitter` makes its record.

    For adapters. It is made without arguments, and :meth:`begin` fills it in.
    """

    __slots__ = ("_route", "_scheme", "status")

    is_request = False

    status: str | None
    """What it answers, as a code or a status line; None if it does not say."""

    def __init__(self) -> None:
        """Nothing yet."""

    def begin(self, environ: WSGIEnvironment, route: str | None = None) -> None:
        """It begins now.

        :param environ: the request's; nothing of it is kept.
        :param route: the template of the request's route, if it has one; without the mount of the application.
        """
        self.method = value_in(environ, "REQUEST_METHOD") or ""
        self.path, mount = value_in(environ, "PATH_INFO") or "", value_in(environ, "SCRIPT_NAME")
        if mount:
            self.path = mount + self.path
            route = route and mounted(mount, route)
        self._route = route
        self._scheme = scheme_of(environ)
        self.handled = handled_here()
        self.context = self.status = self.outcome = self.error = self.message = self.stack = None
        self.time_ns = time.time_ns()
        self.begin_ns = time.perf_counter_ns()

    def _said_status(self) -> str | None:
        return self.status

    def raised(self, error: BaseException, *, is_answer: bool = False) -> None:
        """It raised.

        :param is_answer: whether the exception is an answer with the status that was said, which then says how it ended.
        """
        self.failed(error, is_answered=True)
        if is_answer:
            self.outcome = None

    def left(self) -> None:
        """What it streams was closed before its end."""
        self.closed(is_complete=False)

    def finish_as(
        self,
        emitter: RecordEmitter,
        request_id: str,
        variables: Mapping[str, Any],
        metadata: RequestMetadata | None = None,
    ) -> None:
        """Offer its record, which has an id of its own, by ``emitter``.

        :param request_id: the request's, clean already.
        :param variables: what the record holds; copied.
        :param metadata: what else was said, in the place of the route.
        """
        context = RequestContext(variables)
        context._request_id = request_id
        context._status = self.status
        context._scheme = self._scheme
        context._in_flight = None
        if metadata is None and self._route is not None:
            metadata = RequestMetadata()
            metadata.route = self._route
        context._metadata = metadata
        self.tail, self.request_id = emitter.new_tail(), request_id
        self.first_byte_ns = 0
        self.is_status_inferred = False
        emitter.finish(self, context)
