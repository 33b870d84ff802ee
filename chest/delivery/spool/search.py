"""``SpoolSearch``: finds the spools of a directory that no worker finds by name: of another spelling of the URL, or of another store."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chest.chests.store_identity import store_identity
from chest.delivery.spool.place import SUFFIX, is_locked_by_others
from chest.delivery.worker import ChestWorker
from chest.record.counters import Counters

_MOST_AT_A_LOOK: Final = 20
"""The most files opened in one turn: thousands of junk files must not hold delivery up."""

_in_use: Final[set[str]] = set()
"""The stores of all recorders of this process: a recorder must not report as orphaned what another one delivers."""

_logger: Final = logging.getLogger("chest.delivery")


class SpoolSearch:
    """Gives each worker the spools of its store, whatever they are called, and names those of no worker's once.

    A release before this one named a spool after the chest's label, and so anew for another user or time limit; and a store
    that moved has another identity.

    :param workers: those without a spool are left out.
    """

    def __init__(self, workers: Sequence[ChestWorker], counters: Counters) -> None:
        self._given = workers
        self._workers: dict[str, ChestWorker] = {}
        self._directory: Path | None = None
        self._seen: set[str] = set()
        self._unseen: list[str] = []
        self._orphans: list[str] = []
        self._counters = counters

    def look(self) -> None:
        """Look at files that were not there at the last look, at some of them at a time."""
        if self._directory is None and not self._begin():
            return
        assert self._directory is not None
        if not self._unseen:
            self._unseen = self._names_in(self._directory)
        for _ in range(min(_MOST_AT_A_LOOK, len(self._unseen))):
            name = self._unseen.pop()
            self._seen.add(name)
            self._look_into(self._directory / name)
        if self._orphans and not self._unseen:
            self._say_orphans(self._directory)

    def _begin(self) -> bool:
        """A ring in memory has no directory, and its workers no spools; it may be given one later."""
        for worker in self._given:
            if worker.spool is not None:
                self._workers[store_identity(worker.chest.name)] = worker
                _in_use.add(store_identity(worker.chest.name))
                self._seen.add(worker.spool.path.name)
                self._directory = worker.spool.path.parent
        return self._directory is not None

    def _names_in(self, directory: Path) -> list[str]:
        with suppress(OSError):
            return [name for name in os.listdir(directory) if name.endswith(SUFFIX) and name not in self._seen]
        return []

    def _look_into(self, path: Path) -> None:
        from chest.delivery.spool.contents import look_into
        from chest.delivery.spool.file import SpoolError  # loads SQLite, which not every program needs

        with suppress(SpoolError):
            found = look_into(path)
            store = store_identity(found.chest)
            worker = self._workers.get(store)
            if worker is not None:
                worker.adopt_spool(path, found.chest)
            elif found.waiting.records and store not in _in_use and not is_locked_by_others(path):
                self._orphans.append(f"{found.waiting.records:,} for {found.chest} ({path.name})")

    def _say_orphans(self, directory: Path) -> None:
        """In one line, once each: another process may deliver them, or none any more."""
        text = (
            f"Records wait in {directory} for stores that are not among this recorder's chests: {', '.join(self._orphans)}."
            f" If a store moved: chest recover {directory} --spooled-for PART-OF-ITS-OLD-URL"
        )
        self._orphans.clear()
        self._counters.error(text)
        with suppress(Exception):  # of a handler of the application's, which is not to end delivery
            _logger.warning("chest: %s", text)
