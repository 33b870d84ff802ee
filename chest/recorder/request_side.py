"""``RequestSide``: what requests use of a recorder; the same object before and after every fork."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from chest.record.counters import Counters
from chest.record.record import Outcome
from chest.record.record_id import RecordIds
from chest.request.completion import RequestCompletion
from chest.request.request_id import RequestIds
from chest.ring.in_flight import InFlight
from chest.ring.line import Resource
from chest.ring.tally.tally import Tally
from chest.ring.writer import RingWriter
from chest.system.fork_guard import new_fork_guard


class RequestSide:
    """The :class:`chest.request.record_emitter.Process` of a recorder, for middleware and adapters.

    :param prepare: makes this process ready to record. If it is a method, its object is not kept alive.
    :param notes_requests: whether requests are noted while they are served.
    :param counts_requests: whether requests are counted.
    """

    def __init__(
        self, resource: Resource, prepare: Callable[[], None], *, notes_requests: bool, counts_requests: bool = False
    ) -> None:
        self.resource = resource
        self.prepare = prepare
        self.counters = Counters()
        self.fork_guard = new_fork_guard()
        self.request_ids = RequestIds()
        self.record_ids = RecordIds()
        self.in_flight = InFlight(self.counters) if notes_requests else None
        """Notes requests that are being served; None if the option is off."""
        self.tally = Tally() if counts_requests else None
        """Counts requests; None if the option is off."""
        self.websockets: weakref.WeakSet[RequestCompletion] = weakref.WeakSet()
        """Requests that have become a websocket, or will, while they are open."""
        self.ring = RingWriter(self.counters, self.fork_guard, self.in_flight, prepare)
        self.offer_line: Callable[[bytes], bool] = self.ring.offer_line
        """Take a row that is encoded already; False when it was dropped, which is counted. Never waits and never raises."""

    def end_websockets(self) -> None:
        """Those that are open end with this process: each has its record made while it can be delivered."""
        for opened in list(self.websockets):
            opened.finish(Outcome.UPGRADED)
        self.websockets.clear()

    def begin_in_child(self) -> None:
        """In a forked child: nothing that the child offers goes into its parent's ring or has an id of its parent's."""
        self.fork_guard[0] = 0
        self.counters.clear()
        self.websockets.clear()
        if self.tally is not None:
            self.tally.begin({})
        self.record_ids.renew()
        self.request_ids.renew()
