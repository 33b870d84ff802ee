"""``AdaptedRecording``: the end of a request that an adapter has told facts of, at the cost of one that has none."""

from __future__ import annotations

import time

from chest.request.context import RequestContext
from chest.request.recording import Recording
from chest.row import CHECK

_perf_counter_ns = time.perf_counter_ns


class AdaptedRecording(Recording):
    """Makes the rows of an application that an adapter watches.

    Most of its requests have a route and the attributes of an endpoint, which the program has few of and the adapter knows
    to be clean, and nothing was said beside: a third of what such a request pays would go into finding that out.
    """

    def finish_complete(
        self,
        context: RequestContext,
        request_id: str,
        method: str,
        path: str,
        time_ns: int,
        begin_ns: int,
        body_bytes: int,
    ) -> None:
        """As the recording's own."""
        facts = context._facts
        if facts is None or facts.has_more or not self._is_simple or "://" in path:
            super().finish_complete(context, request_id, method, path, time_ns, begin_ns, body_bytes)
            return
        duration_ns = _perf_counter_ns() - begin_ns
        try:
            facts.at_end(context)
            context.__class__ = self._finished_context
            context._server_start_response = None
            if facts.has_more or not self._is_plain(context):
                self._finish(context, request_id, method, path, time_ns, duration_ns, body_bytes, None)
                return
            try:
                tail = self._pop_tail()
            except IndexError:
                tail = self._refill_tails()
            self._offer(
                (
                    tail, request_id, time_ns, time_ns % CHECK, duration_ns, method, path, context._status, body_bytes,
                    context, facts.route, None, None, facts.known_attributes or {},
                )
            )  # fmt: skip
        except Exception as trouble:  # noqa: BLE001 - the request goes on
            self._went_wrong(context, trouble)
