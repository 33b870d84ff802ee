"""``ViewCall``: from the call of a decorated view to the end of what it returned, and then its record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from chest import RequestContext
from chest.errors import ChestWriteError
from chest.request.request_id import MOST_CHARACTERS
from chest.text import text
from flask_chest.g_variables import REQUEST_ID_NAME, GVariables, data_of
from flask_chest.view_chests import ViewChests
from flask_chest.view_record import ViewRecord
from flask_chest.view_stream import with_watched_stream

_logger: Final = logging.getLogger("flask_chest")


class ViewCall:
    """One call of a decorated view that has chests to write to.

    :param chests: these.
    :param view: the record as far as it is known.
    :param request_id: the request's id.
    :param context: what the request itself is recorded in, if it is.
    :param tracked: the names on ``g`` to record; None: all that the request set.
    :param names_on_g: what is on ``g``; kept, since a stream may end when Flask has let go of it.
    :param watched_g: what the extension knows of ``g``, where the application has it.
    :param raises: whether the record is written before the response is returned.
    """

    __slots__ = ("_chests", "_context", "_names_on_g", "_raises", "_request_id", "_tracked", "_view", "_watched_g")

    def __init__(
        self,
        chests: ViewChests,
        view: ViewRecord,
        request_id: str,
        context: RequestContext | None,
        tracked: Sequence[str] | None,
        names_on_g: dict[str, Any],
        watched_g: GVariables | None,
        raises: bool,
    ) -> None:
        self._chests = chests
        self._view = view
        self._request_id = request_id
        self._context = context
        self._tracked = tracked
        self._names_on_g = names_on_g
        self._watched_g = watched_g
        self._raises = raises

    def returned(self, value: Any) -> Any:
        """The view returned this: the record is written, or offered now or when the stream has ended."""
        self._view.returned(value)
        if self._raises:
            failures = self._write()
            if failures:
                raise ChestWriteError(failures) from failures[0][1]
            return value
        if type(value) is not str:
            watched = with_watched_stream(value, self._view, self._offer)
            if watched is not None:
                return watched
        self._offer()
        return value

    def raised(self, error: BaseException) -> None:
        """The view raised: its exception goes on, whatever the chests do."""
        self._view.raised(error)
        if not self._raises:
            self._offer()
            return
        for name, failure in self._write():
            _logger.error("%s: %s; the record of a view that raised is not there", name, type(failure).__name__)

    def _write(self) -> list[tuple[str, Exception]]:
        return self._chests.write_now(self._view, self._final_id(), self._variables())

    def _offer(self) -> None:
        try:
            self._chests.offer(self._view, self._final_id(), self._variables())
        except Exception as error:  # noqa: BLE001 - the request goes on
            _logger.warning("a view's record could not be made: %r", error)

    def _variables(self) -> dict[str, Any]:
        """What the request has set on ``g`` so far, in the order in which it is tracked."""
        names, tracked = self._names_on_g, self._tracked
        if self._watched_g is not None:
            return self._watched_g.found(tracked)
        return data_of(names) if tracked is None else {name: names[name] for name in tracked if name in names}

    def _final_id(self) -> str:
        """The view may have set another id on ``g``: its word counts, for the request's record too."""
        found = self._names_on_g.get(REQUEST_ID_NAME)
        if found is self._request_id or not found:
            return self._request_id
        request_id = clean_request_id(found)
        if self._context is not None:
            self._context.request_id = request_id
        return request_id


def clean_request_id(given: object) -> str:
    """An id of the application's as it can be stored everywhere: text of at most 255 characters."""
    return text(str(given), MOST_CHARACTERS)
