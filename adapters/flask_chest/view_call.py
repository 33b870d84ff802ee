"""``ViewCall``: one call of a decorated view, until what it returned has ended; then its record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from chest import Outcome, RequestContext
from chest.adapter import ChestWriteError, SubRecord, clean_request_id
from flask_chest.g_variables import REQUEST_ID_NAME, GVariables, data_of
from flask_chest.served_request import is_answer
from flask_chest.used_g import Before
from flask_chest.view_chests import ViewChests
from flask_chest.view_stream import with_watched_stream

VIEW_MARK: Final = "_chest_view"
"""On ``g``: the id of the request whose decorated view used it last. Flask (before 3.2) may give one request the ``g`` of
another, see :mod:`flask_chest.g_variables`; without the extension this mark is the only sign."""

_OK: Final = "200"
_SERVER_ERROR: Final = "500"

_logger: Final = logging.getLogger("flask_chest")


class ViewCall(SubRecord):
    """One call of a decorated view that has chests to write to. The decorator fills in the fields, which saves a call."""

    __slots__ = ("before", "chests", "is_view", "names_on_g", "raises", "request_context", "tracked", "watched_g")

    before: Before | None
    """What was already on ``g``, from another request, and is not recorded; None: ``g`` was new."""
    chests: ViewChests
    """The chests to write to."""
    is_view: bool
    """True if it returns the response; a handler of a Socket.IO event, or of a websocket, may return nothing."""
    names_on_g: dict[str, Any]
    """The variables on ``g``; kept, since a stream may end after Flask has released ``g``."""
    raises: bool
    """True if the record is written before the response is returned."""
    request_context: RequestContext | None
    """The context of the request's own record; None if the request is not recorded."""
    tracked: Sequence[str] | None
    """The names on ``g`` to record; None: all that the request set."""
    watched_g: GVariables | None
    """What the extension knows of ``g``; None without the extension."""

    def returned(self, value: Any) -> Any:
        """The view's value, its stream watched. The record is written now, or offered now or at the end of the stream."""
        if value is None and not self.is_view:
            self.outcome = Outcome.OK
        if self.raises:
            self.status = status_of(value)
            failures = self._write_now()
            if failures:
                raise ChestWriteError(failures) from failures[0][1]
            return value
        if type(value) is str:
            self.status = _OK
        else:
            self.status = status_of(value)
            watched = with_watched_stream(value, self, self._offer)
            if watched is not None:
                return watched
        self._offer()
        return value

    def view_raised(self, error: BaseException) -> None:
        """Record that the view raised; the view's exception is raised further, whatever the chests do.

        An abort is an answer: Werkzeug's own classes say no more than the status.
        """
        self.status = status_of_error(error)
        if not is_answer(error):
            self.raised(error, is_answer=isinstance(error, HTTPException))
        if not self.raises:
            self._offer()
            return
        for name, failure in self._write_now():
            _logger.error(
                "chest: %s: %s; the record of a view that raised was not written", name, type(failure).__name__
            )

    def _write_now(self) -> list[tuple[str, Exception]]:
        return self.chests.write_now(self, self._final_id(), self._variables())

    def _offer(self) -> None:
        try:
            self.finish_as(self.chests.emitter, self._final_id(), self._variables())
        except Exception as error:  # noqa: BLE001 - the request goes on
            _logger.warning("chest: a view's record could not be made: %r", error)

    def _variables(self) -> dict[str, Any]:
        """What the request has set on ``g`` so far, in the order in which it is tracked."""
        names, tracked, before = self.names_on_g, self.tracked, self.before
        if self.watched_g is not None:
            return self.watched_g.found(tracked)
        found = data_of(names) if tracked is None else {name: names[name] for name in tracked if name in names}
        return found if before is None else before.set_since(found)

    def _final_id(self) -> str:
        """The id of the request; an id that the view set on ``g`` wins, for the request's record too."""
        names = self.names_on_g
        found = names.get(REQUEST_ID_NAME)
        if found is self.request_id or not found or names.get(VIEW_MARK) is not self.request_id:
            return self.request_id
        request_id = clean_request_id(found)
        if self.request_context is not None:
            self.request_context.request_id = request_id
        return request_id


def status_of(value: Any) -> str | None:
    """The status of a view's value, as a code or a status line (Flask, "About Responses"); None for None."""
    if isinstance(value, tuple) and value:
        if len(value) == 3 or (len(value) == 2 and isinstance(value[1], int | str)):
            return str(value[1])
        value = value[0]
    if isinstance(value, Response):
        return str(value.status_code)
    return None if value is None else _OK


def status_of_error(error: BaseException) -> str:
    """The status of a view's exception: its own for an ``HTTPException``; Flask answers any other with 500."""
    if not isinstance(error, HTTPException):
        return _SERVER_ERROR
    return str(error.code if error.response is None else error.response.status_code)
