"""``ViewCall``: from the call of a decorated view to the end of what it returned, and then its record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from werkzeug.exceptions import HTTPException

from chest import RequestContext
from chest.adapter import ChestWriteError, RequestPart, clean_request_id
from flask_chest.g_variables import REQUEST_ID_NAME, GVariables, data_of, set_since
from flask_chest.served_request import is_answer
from flask_chest.view_chests import ViewChests
from flask_chest.view_status import OK, status_of, status_of_error
from flask_chest.view_stream import with_watched_stream

VIEW_MARK: Final = "_chest_view"
"""On ``g``: the id of the request whose decorated view used it last. Flask (before 3.2) may hand one request the ``g`` of
another, see :mod:`flask_chest.g_variables`, and where there is no extension nobody else notices."""

_logger: Final = logging.getLogger("flask_chest")


class ViewCall(RequestPart):
    """One call of a decorated view that has chests to write to; filled in by the decorator, which saves a call."""

    __slots__ = ("before", "chests", "names_on_g", "raises", "request_context", "tracked", "watched_g")

    before: dict[str, Any] | None
    """What was on a ``g`` that another request had used, which is not recorded; None: it was new."""
    chests: ViewChests
    """What is written to."""
    names_on_g: dict[str, Any]
    """What is on ``g``; kept, since a stream may end when Flask has let go of it."""
    raises: bool
    """Whether the record is written before the response is returned."""
    request_context: RequestContext | None
    """What the request itself is recorded in, if it is."""
    tracked: Sequence[str] | None
    """The names on ``g`` to record; None: all that the request set."""
    watched_g: GVariables | None
    """What the extension knows of ``g``, where the application has it."""

    def returned(self, value: Any) -> Any:
        """The view returned this: the record is written, or offered now or when the stream has ended."""
        if self.raises:
            self.status = status_of(value)
            failures = self._write_now()
            if failures:
                raise ChestWriteError(failures) from failures[0][1]
            return value
        if type(value) is str:
            self.status = OK
        else:
            self.status = status_of(value)
            watched = with_watched_stream(value, self, self._offer)
            if watched is not None:
                return watched
        self._offer()
        return value

    def view_raised(self, error: BaseException) -> None:
        """The view raised: its exception goes on, whatever the chests do.

        An abort is an answer, of which Werkzeug's own classes say no more than the status does.
        """
        self.status = status_of_error(error)
        if not is_answer(error):
            self.raised(error, is_answer=isinstance(error, HTTPException))
        if not self.raises:
            self._offer()
            return
        for name, failure in self._write_now():
            _logger.error("%s: %s; the record of a view that raised is not there", name, type(failure).__name__)

    def _write_now(self) -> list[tuple[str, Exception]]:
        return self.chests.write_now(self, self._final_id(), self._variables())

    def _offer(self) -> None:
        try:
            self.finish_as(self.chests.recording, self._final_id(), self._variables())
        except Exception as error:  # noqa: BLE001 - the request goes on
            _logger.warning("a view's record could not be made: %r", error)

    def _variables(self) -> dict[str, Any]:
        """What the request has set on ``g`` so far, in the order in which it is tracked."""
        names, tracked, before = self.names_on_g, self.tracked, self.before
        if self.watched_g is not None:
            return self.watched_g.found(tracked)
        found = data_of(names) if tracked is None else {name: names[name] for name in tracked if name in names}
        return found if before is None else set_since(before, found)

    def _final_id(self) -> str:
        """The view may have set another id on ``g``: its word counts, for the request's record too."""
        names = self.names_on_g
        found = names.get(REQUEST_ID_NAME)
        if found is self.request_id or not found or names.get(VIEW_MARK) is not self.request_id:
            return self.request_id
        request_id = clean_request_id(found)
        if self.request_context is not None:
            self.request_context.request_id = request_id
        return request_id
