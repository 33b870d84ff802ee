"""``Delivery``: the lanes of all chests side by side, none of which waits for another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from chest.counters import Counters
from chest.delivery.batch import Batch
from chest.delivery.lane import Lane
from chest.delivery.lane_thread import LaneThread
from chest.record import Record

DUE_SHARE: Final = 1 / 4
"""How full a ring may become before it is emptied, however young what it holds is."""
PRESSED_SHARE: Final = 1 / 2
"""How full the ring may become before what a late chest has not taken is put on disk: as much is left for what comes meanwhile."""
NEARLY_FULL_SHARE: Final = 3 / 4
_SLOW_SECONDS: Final = 0.5
"""From when on a write is too slow to be done in the thread that takes from the ring."""


class Delivery:
    """Gives each batch to every lane.

    Several chests have a thread each. The only chest of a recorder has none at first: it is written to in the thread that
    gives, at no cost beside the writing. It gets one as soon as it failed, was slow, or has a spool to deliver; until then
    the ring has room for what comes during one write.

    :param progressed: called from another thread when a lane has settled something.
    :param waits_for_none: whether also the only chest has a thread from the start: the thread that gives is to be free to
        end whatever a chest does.
    """

    def __init__(
        self, lanes: Sequence[Lane], counters: Counters, progressed: Callable[[], None], *, waits_for_none: bool = False
    ) -> None:
        self._lanes = lanes
        self._counters = counters
        self._progressed = progressed
        self._threads: dict[Lane, LaneThread] = {}
        self._has_threads = False
        self._are_given_threads = waits_for_none or len(lanes) > 1

    def open(self) -> None:
        """Open the chests before there is anything to write; from here on threads may be started."""
        self._has_threads = True
        for lane in self._lanes:
            if not self._are_given_threads or not self._is_given_thread(lane):
                lane.open()

    def _is_given_thread(self, lane: Lane) -> bool:
        if lane in self._threads:
            return True
        if not self._has_threads:
            return False
        thread = LaneThread(lane, self._counters, self._progressed)
        try:
            thread.start()
        except RuntimeError as error:
            self._counters.add("lane_start_failed")
            self._counters.error(f"no thread for {lane.chest.name}: {error}; it is written to in the exporter's")
            return False
        self._threads[lane] = thread
        return True

    @property
    def has_room(self) -> bool:
        """Whether every lane may be given another batch."""
        return all(lane.has_room for lane in self._lanes)

    @property
    def is_holding(self) -> bool:
        """Whether some lane has not settled what it was given."""
        for lane in self._lanes:  # noqa: SIM110 - asked twenty times a second by every idle process
            if lane.is_holding:
                return True
        return False

    def relieve(self, is_pressed: bool) -> None:
        """Put on disk what has waited for too long.

        :param is_pressed: whether the ring is filling up.
        """
        with_room = [lane for lane in self._lanes if lane.has_room]
        holds_others_up = 0 < len(with_room) < len(self._lanes)
        for lane in self._lanes:
            if lane.must_spool(is_pressed or holds_others_up):
                lane.spool_waiting()

    def make_room(self) -> bool:
        """The ring is nearly full: what waits behind a write that is under way goes to disk, as the next batch will.

        Not earlier: what a chest that is only slow could have taken in time would be written twice. False where nothing can
        be put on disk.
        """
        late = [lane for lane in self._lanes if not lane.has_room]
        have_room = [lane.spool is not None and lane.spool_waiting() for lane in late]
        return all(have_room)

    def sacrifice(self) -> None:
        """The ring is nearly full, and what some lanes hold can go nowhere: they lose it, so that the others lose nothing."""
        late = [lane for lane in self._lanes if not lane.has_room]
        if len(late) < len(self._lanes):
            for lane in late:
                lane.drop_waiting()

    def take_on(self, records: Sequence[Record]) -> Batch:
        """Give the records to every lane; the batch is settled when all have written or spooled it. Then call :meth:`work`."""
        batch = Batch(records, len(self._lanes) if records else 0)
        if records:
            for lane in self._lanes:
                lane.put(batch)
        return batch

    def work(self) -> None:
        """What is to be done for the lanes from the thread that gives."""
        for lane in self._lanes:
            thread = self._threads.get(lane)
            if thread is not None:
                thread.wake()
            else:
                self._work_here(lane)

    def _work_here(self, lane: Lane) -> None:
        begin = time.monotonic()
        while lane.is_holding and lane.step():
            pass
        if lane.needs_thread or time.monotonic() - begin > _SLOW_SECONDS:
            if self._is_given_thread(lane):
                self._threads[lane].wake()
            elif not lane.is_holding:
                lane.step()  # a piece of the spool

    def look_at_spools(self) -> None:
        """Have spools delivered that are there, of this process or of others that are gone."""
        for lane in self._lanes:
            lane.look_at_spool()
        self.work()

    @property
    def may_adopt(self) -> bool:
        """Whether more records from elsewhere would be delivered, and not only moved from one file to another."""
        return any(not lane.is_failing for lane in self._lanes)

    def spool_sizes(self) -> dict[str, dict[str, int]]:
        """What waits on disk for each chest, as far as this process has looked; chests with nothing there left out."""
        sizes = {lane.chest.name: lane.spool.size for lane in self._lanes if lane.spool is not None}
        return {name: dict(zip(("records", "bytes"), size, strict=True)) for name, size in sizes.items() if size}

    # -- the end -----------------------------------------------------------------------------------------------------

    def try_now(self) -> None:
        """The last round: whoever waits after a failure is tried once more."""
        for lane in self._lanes:
            lane.try_now()
        self.work()

    def hurry(self, deadline: float) -> None:
        """The last round is in a thread that must not be kept beyond this (monotonic seconds): chests are to see to it themselves."""
        for lane in self._lanes:
            if lane not in self._threads:
                lane.hurry(deadline)

    @property
    def is_hopeless(self) -> bool:
        """Whether lanes failed in the last round, and no other holds anything."""
        hopeless = [lane for lane in self._lanes if lane.is_hopeless]
        return bool(hopeless) and all(lane in hopeless for lane in self._lanes if lane.is_holding)

    def spool_what_others_have(self) -> None:
        """Where there are several chests, what one of them has not taken goes to its spool: the others have it already."""
        if len(self._lanes) > 1:
            for lane in self._lanes:
                lane.spool_waiting()

    def close(self, deadline: float) -> None:
        """Close the chests, waiting no longer than until ``deadline`` (monotonic seconds) for those that are being written to."""
        for thread in self._threads.values():
            thread.stop()
        for lane in self._lanes:
            if lane not in self._threads:
                lane.close()
        for thread in self._threads.values():
            thread.has_ended_by(deadline)
