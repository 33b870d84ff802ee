"""``RequestLogFilter`` for ``logging`` and ``request_processor`` for structlog: which request a line of a log is about."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from chest.errors import SettingsError
from chest.request.closed_contexts import current

_REQUEST_ID: Final = "request_id"
_OF_EVERY_LINE: Final = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))


class RequestLogFilter(logging.Filter):
    """Gives each log record the attribute ``request_id``, and these variables of the request: for a handler, and its format.

    What the request has not set is None, and outside of a request all of it is; what ``extra`` gave stays. The values are as the
    application set them: nothing is redacted.

    Example::

        handler.addFilter(RequestLogFilter("user_id"))
        handler.setFormatter(logging.Formatter("%(request_id)s %(user_id)s %(message)s"))

    :param variables: names of variables.
    :raises SettingsError: a log record has an attribute of that name itself.
    """

    def __init__(self, *variables: str) -> None:
        super().__init__()
        taken = sorted(_OF_EVERY_LINE.intersection(variables))
        if taken:
            raise SettingsError(f"A log record has {', '.join(taken)} itself: choose other variables for the log.")
        self._variables = variables

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to the record; every record passes."""
        context, known = current(), vars(record)
        known.setdefault(_REQUEST_ID, context.request_id or None)
        for name in self._variables:
            known.setdefault(name, context.get(name))
        return True


def request_processor(*variables: str) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """A processor for structlog that adds ``request_id``, and these variables of the request.

    What the request has not set is left out, and outside of a request all of it is; what the line has itself stays.

    Example::

        structlog.configure(processors=[request_processor("user_id"), structlog.processors.JSONRenderer()])

    :param variables: names of variables.
    """

    def processor(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        context = current()
        if context.request_id:
            event.setdefault(_REQUEST_ID, context.request_id)
        for name in variables:
            if name in context:
                event.setdefault(name, context[name])
        return event

    return processor
