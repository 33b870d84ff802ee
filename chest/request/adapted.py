"""``AdaptedRecording``: the end of a request that an adapter has told facts of, at the cost of one that has none."""

from __future__ import annotations

from chest.encoding import NEWLINE, encode_line
from chest.request.context import RequestContext
from chest.request.ending import Ending
from chest.request.recording import PLAIN_BYTES, Recording
from chest.row import Row


class AdaptedRecording(Recording):
    """Makes the lines of an application that an adapter watches.

    Most of its requests have a route and the attributes of an endpoint, which the program has few of and the adapter knows
    to be clean, and nothing was said beside: a fifth of what such a request pays would go into finding that out.
    """

    def finish(self, known: Row, context: RequestContext, body_bytes: int, ending: Ending | None = None) -> None:
        """As the recording's own."""
        facts = context._facts
        if facts is None or facts.has_more or ending is not None or not self._is_simple or "://" in known[5]:
            super().finish(known, context, body_bytes, ending)
            return
        try:
            facts.at_end(context)
            context.__class__ = self.finished_context
            context._server_start_response = None
            if not facts.has_more and self._is_plain(context):
                tail = self._tail()
                told = facts.route, None, None, facts.known_attributes or {}
                try:
                    line = encode_line((tail, *known, context._status, body_bytes, context, *told), None, NEWLINE)
                except (TypeError, ValueError):
                    pass  # a lone surrogate
                else:
                    if len(line) <= PLAIN_BYTES:
                        self._offer(line)
                        return
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self.went_wrong(context, trouble)
            return
        super().finish(known, context, body_bytes, ending)
