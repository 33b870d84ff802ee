"""``RecorderChecks``: the state of a recorder as checks: asks its chests, and reads everything else from its counters.

No message is worse than a warning: an application answers requests whether it is recorded or not, and one that is
restarted because a store is down is no healthier. A heartbeat is public, so they tell the kind of trouble; why, with the store's host,
user and database, stands in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chest.chests.contract import Chest
from chest.dockerflow import health
from chest.dockerflow.checks.messages import CheckMessage, Warning  # noqa: A004
from chest.dockerflow.checks.running import Check
from chest.errors import ChestError
from chest.recorder.recorder import Recorder
from chest.recorder.stats import RecorderStats

__all__ = ["RecorderChecks"]

logger = logging.getLogger("dockerflow.checks.registry")

_FULL_SHARE: Final = 0.9
_TICKS_BEHIND: Final = 2
"""One may be the tick that has just come, and that another process works on."""
_REMEMBERED_SECONDS: Final = 300.0
"""How long dropped records are reported."""


class RecorderChecks:
    """The checks of one recorder.

    :param recorder: the recorder.
    :param clock: seconds, monotonic.
    :param shows_stores: True if messages say why a store fails, which may name its host, user and database; False: only the log does.
    """

    def __init__(
        self, recorder: Recorder, clock: Callable[[], float] = time.monotonic, *, shows_stores: bool = False
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._shows_stores = shows_stores
        self._dropped = _Growth()
        self._spooled = _Growth()

    def by_name(self) -> dict[str, Check]:
        """The checks by name; equal ones each time, as long as the recorder has the same chests."""
        checks: dict[str, Check] = {}
        for chest in self._recorder.chests:
            name = base = f"check_chest_{scheme_of(chest)}"
            number = 1
            while name in checks:
                number += 1
                name = f"{base}_{number}"
            checks[name] = ChestReachable(chest, self._shows_stores)
        return checks | {
            "check_delivery_alive": self.check_delivery_alive,
            "check_records_dropped": self.check_records_dropped,
            "check_ring_durable": self.check_ring_durable,
            "check_ring_filling": self.check_ring_filling,
            "check_spool_growing": self.check_spool_growing,
            "check_transfers_on_time": self.check_transfers_on_time,
        }

    def check_ring_durable(self) -> list[CheckMessage]:
        """Warn if waiting records would not survive a kill of this process."""
        ring = self._recorder.stats()["ring"]
        if ring["is_durable"] or not ring["capacity_bytes"]:
            return []
        text = (
            "The ring is in memory: if this process is killed, the records that it has not delivered are lost. "
            "The log says why. Check the directory of the ring files and the room on its disk."
        )
        return [Warning(text, id=health.WARNING_RING_IN_MEMORY)]

    def check_ring_filling(self) -> list[CheckMessage]:
        """Warn if the ring has little room for more records."""
        ring = self._recorder.stats()["ring"]
        share = ring["pending_bytes"] / ring["capacity_bytes"] if ring["capacity_bytes"] else 0.0
        if share < _FULL_SHARE:
            return []
        text = f"The ring is {share:.0%} full: when it is full, records are dropped. See why the chests take none."
        return [Warning(text, id=health.WARNING_RING_FILLING)]

    def check_records_dropped(self) -> list[CheckMessage]:
        """Warn if this process dropped records in the last five minutes."""
        dropped = self._recorder.stats().get("dropped", {})
        self._dropped.look(sum(dropped.values()), self._clock())
        if not self._dropped.is_recent(self._clock()):
            return []
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()))
        text = f"Records were dropped; by this process since it began: {reasons}."
        return [Warning(text, id=health.WARNING_RECORDS_DROPPED)]

    def check_spool_growing(self) -> list[CheckMessage]:
        """Warn if records were spooled in the last five minutes, because a chest took none."""
        spooled = spooled_of(self._recorder.stats())
        self._spooled.look(spooled, self._clock())
        if not spooled or not self._spooled.is_recent(self._clock()):
            return []
        text = f"The spool grows, since a chest takes no records: {spooled} so far."
        return [Warning(text, id=health.WARNING_SPOOL_GROWING)]

    def check_transfers_on_time(self) -> list[CheckMessage]:
        """Warn if scheduled transfers or retentions missed ticks, in all processes, as far as this one knows."""
        transfers = self._recorder.stats().get("scheduled_transfers", {})
        late = [
            self._late_text(name, each) for name, each in transfers.items() if each["ticks_behind"] >= _TICKS_BEHIND
        ]
        return [Warning(" ".join(late), id=health.WARNING_TRANSFER_BEHIND)] if late else []

    check_exports_on_time = check_transfers_on_time
    """The former name."""

    def _late_text(self, name: str, transfer: Mapping[str, Any]) -> str:
        is_why_shown = transfer["last_error"] and self._shows_stores
        why = f": {transfer['last_error']}" if is_why_shown else "; the log of the process that tried it says why."
        return f"Transfer {name} is {transfer['ticks_behind']} ticks behind{why}"

    def check_delivery_alive(self) -> list[CheckMessage]:
        """Warn if records wait and no thread delivers them."""
        stats = self._recorder.stats()
        if self._recorder.settings.delivery == "external" and stats["ring"]["is_durable"]:
            return []  # another process delivers; if none does, the ring fills, which another check reports
        if stats["delivery_is_running"] or not stats["ring"]["pending_bytes"]:
            return []  # a thread that ended with nothing to do is started by the next request
        text = "Records wait, but the delivery thread does not run: the next request starts it."
        return [Warning(text, id=health.WARNING_DELIVERY_STOPPED)]


@dataclass(frozen=True)
class ChestReachable:
    """The check of one chest; two for the same chest are equal, so that a result can be kept."""

    chest: Chest
    shows_store: bool
    """True if its messages may name the store's host, user and database."""

    def __call__(self) -> list[CheckMessage]:
        try:
            self.chest.check()
        except ChestError as error:  # its message says the cure, and holds no secret
            if self.shows_store:
                return [Warning(str(error), id=health.WARNING_CHEST_UNREACHABLE)]
            logger.warning("chest: %s", error)
            text = f"Records cannot be written now ({type(error).__name__}); the log says why."
            return [Warning(text, id=health.WARNING_CHEST_UNREACHABLE)]
        except Exception as error:  # noqa: BLE001 - of a user's chest; may hold anything
            text = f"The chest's check raised {type(error).__name__}."
            return [Warning(text, id=health.WARNING_CHEST_UNREACHABLE)]
        return []


def scheme_of(chest: Chest) -> str:
    """The kind of a chest, fit for a name."""
    scheme = chest.name.partition(":")[0]
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in scheme) or "chest"


class _Growth:
    """A count, and when it was last seen to grow."""

    def __init__(self) -> None:
        self._seen = 0
        self._grew_at: float | None = None

    def look(self, count: int, now: float) -> None:
        if count > self._seen:
            self._grew_at = now
        self._seen = count  # a forked process counts from 0

    def is_recent(self, now: float) -> bool:
        return self._grew_at is not None and now - self._grew_at < _REMEMBERED_SECONDS


def spooled_of(stats: RecorderStats) -> int:
    """How many records were spooled so far."""
    return sum(stats.get("spooled", {}).values())
