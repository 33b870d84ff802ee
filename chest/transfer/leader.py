"""``Leader``: of all processes and hosts that have the same tick, one does the work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from chest.chests.upkeep import CoordinationStore, VersionedValue

__all__ = ["Leader", "Turn"]


class Turn(NamedTuple):
    """The latest tick that a process had, as the others see it."""

    tick: datetime | None = None
    """Its time; None: there was none yet."""
    finished: datetime | None = None
    """When the work was last done to its end, at this tick or an earlier one."""


class Leader:
    """Taken for one tick at a time: a leader that dies costs what is left of its tick, and no process waits for it.

    The lock keeps two from working at once; the note keeps one that comes later from having the same tick again.

    :param coordination: shared by all candidates.
    :param name: of the work.
    """

    def __init__(self, coordination: CoordinationStore, name: str) -> None:
        self._coordination, self._name = coordination, f"leader {name}"
        self.turn = Turn()
        """What was last seen or done; asking for it costs nothing."""

    @contextmanager
    def lead(self, is_due: Callable[[datetime | None], bool] = lambda _: True) -> Iterator[bool]:
        """In the block: True for the one process that does the work; False for all others, which skip the tick.

        :param is_due: whether the work is still to be done, when this tick was the latest that a process had.
        :raises ChestUnavailable: the store cannot be asked; then no process leads.
        """
        with self._coordination.lock(self._name) as is_ours:
            self._look()
            yield is_ours and is_due(self.turn.tick)

    def done(self, tick: datetime | None, *, is_finished: bool) -> None:
        """The leader says so: it had this tick, and whether the work came to its end."""
        note = self._look()
        last = self.turn
        new = Turn(tick or last.tick, datetime.now(UTC) if is_finished else last.finished)
        if new != last and self._coordination.compare_and_set(self._name, _text_of(new), note) is not None:
            self.turn = new

    def close(self) -> None:
        """Close the store."""
        self._coordination.close()

    def _look(self) -> VersionedValue | None:
        note = self._coordination.value(self._name)
        self.turn = Turn() if note is None else _turn_of(note.text)
        return note


def _text_of(turn: Turn) -> str:
    return json.dumps([None if moment is None else moment.astimezone(UTC).isoformat() for moment in turn])


def _turn_of(text: str) -> Turn:
    """The turn; one that cannot be read is as good as none."""
    try:
        tick, finished = (None if moment is None else datetime.fromisoformat(moment) for moment in json.loads(text))
    except (ValueError, TypeError):
        return Turn()
    return Turn(tick, finished)
