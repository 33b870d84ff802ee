"""``RecorderChecks``: how a recorder is, as checks: its chests asked, all else read from its counters.

No message of theirs is worse than a warning: an application answers requests whether it is recorded or not, and one that is
restarted because a store is down is no healthier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chest.chests.base import Chest
from chest.dockerflow import health
from chest.dockerflow.checks.messages import WARNING, CheckMessage, Warning  # noqa: A004
from chest.dockerflow.checks.running import Check
from chest.errors import ChestError
from chest.recorder import Recorder

__all__ = ["RecorderChecks"]

_FULL_SHARE: Final = 0.9
_TICKS_BEHIND: Final = 2
"""One may be the tick that just came, and that somebody else is at."""
_REMEMBERED_SECONDS: Final = 300.0
"""For how long it is said that records were dropped."""


class RecorderChecks:
    """The checks of one recorder.

    :param recorder: whose.
    :param clock: seconds, monotonic.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        self._dropped = _Growth()
        self._spooled = _Growth()

    def by_name(self) -> dict[str, Check]:
        """The checks; equal ones each time, as long as the recorder has the same chests."""
        checks: dict[str, Check] = {}
        for chest in self._recorder.chests:
            name = base = f"check_chest_{scheme_of(chest)}"
            number = 1
            while name in checks:
                number += 1
                name = f"{base}_{number}"
            checks[name] = ChestReachable(chest)
        return checks | {
            "check_exporter_alive": self.check_exporter_alive,
            "check_exports_on_time": self.check_exports_on_time,
            "check_records_dropped": self.check_records_dropped,
            "check_ring_filling": self.check_ring_filling,
            "check_spool_growing": self.check_spool_growing,
        }

    def check_ring_filling(self) -> list[CheckMessage]:
        """Whether there is room for more records."""
        ring = self._recorder.stats()["ring"]
        share = ring["pending_bytes"] / ring["capacity_bytes"] if ring["capacity_bytes"] else 0.0
        if share < _FULL_SHARE:
            return []
        text = f"The ring is {share:.0%} full: when it is full, records are dropped. See why the chests take none."
        return [Warning(text, id=health.WARNING_RING_FILLING)]

    def check_records_dropped(self) -> list[CheckMessage]:
        """Whether this process dropped records in the last five minutes."""
        dropped = self._recorder.stats().get("dropped", {})
        self._dropped.look(sum(dropped.values()), self._clock())
        if not self._dropped.is_recent(self._clock()):
            return []
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()))
        text = f"Records were dropped; by this process since it began: {reasons}."
        return [Warning(text, id=health.WARNING_RECORDS_DROPPED)]

    def check_spool_growing(self) -> list[CheckMessage]:
        """Whether records were put aside on disk in the last five minutes, because a chest took none."""
        spooled = spooled_of(self._recorder.stats())
        self._spooled.look(spooled, self._clock())
        if not spooled or not self._spooled.is_recent(self._clock()):
            return []
        text = f"The spool grows, since a chest takes no records: {spooled} so far."
        return [Warning(text, id=health.WARNING_SPOOL_GROWING)]

    def check_exports_on_time(self) -> list[CheckMessage]:
        """Whether what is on a timetable was done at its ticks, by whichever process, as far as this one has seen."""
        exports = self._recorder.stats().get("exports", {})
        late = [_told_of_late(name, each) for name, each in exports.items() if each["ticks_behind"] >= _TICKS_BEHIND]
        return [Warning(" ".join(late), id=health.WARNING_EXPORT_BEHIND)] if late else []

    def check_exporter_alive(self) -> list[CheckMessage]:
        """Whether somebody delivers the records that wait."""
        stats = self._recorder.stats()
        if stats["exporter_is_running"] or not stats["ring"]["pending_bytes"]:
            return []  # one that ended with nothing to do is started by the next request
        text = "Records wait, and the thread that delivers them does not run: the next request starts it again."
        return [Warning(text, id=health.WARNING_EXPORTER_STOPPED)]


def _told_of_late(name: str, export: Mapping[str, Any]) -> str:
    why = f": {export['last_error']}" if export["last_error"] else "; the log of the process that tried it says why."
    return f"Export {name} is {export['ticks_behind']} ticks behind{why}"


@dataclass(frozen=True)
class ChestReachable:
    """The check of one chest; two of one chest are equal, so that a result can be kept."""

    chest: Chest

    level_when_late: ClassVar[int] = WARNING
    """How bad it is when there is no answer in time."""

    def __call__(self) -> list[CheckMessage]:
        try:
            self.chest.check()
        except ChestError as error:  # says the cure, and holds no secret
            return [Warning(str(error), id=health.WARNING_CHEST_UNREACHABLE)]
        except Exception as error:  # noqa: BLE001 - of a user's chest; may hold anything
            text = f"The chest's check raised {type(error).__name__}."
            return [Warning(text, id=health.WARNING_CHEST_UNREACHABLE)]
        return []


def scheme_of(chest: Chest) -> str:
    """What kind of chest it is, fit for a name."""
    scheme = chest.name.partition(":")[0]
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in scheme) or "chest"


class _Growth:
    """A count that was looked at, and when it was last seen to have grown."""

    def __init__(self) -> None:
        self._seen = 0
        self._grew_at: float | None = None

    def look(self, count: int, now: float) -> None:
        if count > self._seen:
            self._grew_at = now
        self._seen = count  # a forked process counts from 0

    def is_recent(self, now: float) -> bool:
        return self._grew_at is not None and now - self._grew_at < _REMEMBERED_SECONDS


def spooled_of(stats: dict[str, Any]) -> int:
    """How much was put aside so far, by a recorder that has a spool; else 0."""
    spooled = stats.get("spooled", 0)
    return sum(spooled.values()) if isinstance(spooled, dict) else int(spooled)
