"""``TallyKeeper``: keeps the counts of a process in a file that outlives it; ``gathered``: those of all processes."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from chest.chests.contract import Chest
from chest.recorder.request_side import RequestSide
from chest.ring.lock_file import locks_are_available
from chest.ring.tally.gathering import Gathered, gather, together
from chest.ring.tally.owned_tally_file import OwnedTallyFile, prefix_of
from chest.ring.tally.table import Table, table_in_memory
from chest.system.directory import prepare_directory
from chest.system.threads import new_lock

_WAIT_SECONDS: Final = 1.0


class TallyKeeper:
    """What is counted in this process, in a file if one can be had. Does nothing where requests are not counted.

    :param name: the recorder's, with which the names of its files begin.
    :param directory: asked each time, as it may raise DirectoryError. None: it is counted in memory.
    :param chests: asked for what they count of themselves.
    :param is_delivering: whether a thread of this process delivers records.
    """

    def __init__(
        self,
        request_side: RequestSide,
        name: str,
        directory: Callable[[], Path] | None,
        chests: Callable[[], Iterable[Chest]],
        is_delivering: Callable[[], bool],
    ) -> None:
        self.file: OwnedTallyFile | None = None
        """None while it is counted in memory, for this process alone."""
        self._tally = request_side.tally
        self._counters = request_side.counters
        self._prefix = prefix_of(name, request_side.resource.service)
        self._directory = directory
        self._chests = chests
        self._is_delivering = is_delivering
        self._keeping = new_lock()
        self._has_ended = self._has_gathered = self._is_told = False
        if self._tally is not None:
            self._tally.begin({"service": request_side.resource.service, "recorder": name, "pid": os.getpid()})
            self._move()

    def _move(self) -> None:
        if self._tally is None or self._directory is None or not locks_are_available():
            return
        try:
            directory = prepare_directory(self._directory())
            self.file = OwnedTallyFile.create(directory, self._prefix, self._tally)
            weakref.finalize(self, self.file.let_go).atexit = False
            self._is_told = False
        except OSError as error:
            if not self._is_told:  # it is tried again every few seconds
                self._is_told = True
                self._counters.fault("the counts of this process are in memory, and not in a file: %s", error)

    def keep(self, *, gathers: bool = False) -> None:
        """Have the counts in a file, and the recorder's own beside them. To be called every few seconds, by a thread that may wait.

        :param gathers: whether what ended processes counted is added up, the first time: a service that is not scraped must not
            fill the directory.
        """
        # Not only by the delivery thread: a scrape may be interrupted by a signal handler that closes the recorder.
        if self._tally is None or not self._keeping.acquire(timeout=_WAIT_SECONDS):
            return
        try:
            if not self._has_ended:
                self._keep()
                self._tell()
            if gathers and self.file is not None and not self._has_gathered:
                self._has_gathered = True
                gather(self.file.path.parent, self._prefix)
        except Exception as error:  # noqa: BLE001 - a guest's chest may raise; records are delivered all the same
            self._counters.fault("the counts of this process could not be kept: %r", error)
        finally:
            self._keeping.release()

    def _keep(self) -> None:
        if self.file is not None and self.file.is_intact:
            self.file.renew_times()
            return
        lost, self.file = self.file, None
        if lost is not None:
            lost.remove()  # what is left of it: all that it holds moves on
        self._move()

    def _tell(self) -> None:
        counts = self._counters.totals()
        for chest in self._chests():
            counts |= {f"{reason}.{chest.name}": count for reason, count in chest.counts().items() if count}
        figures = {"time_ns": time.time_ns(), "is_delivering": self._is_delivering(), "counts": counts}
        if self._tally is not None and not self._tally.tell(figures):
            self._counters.fault("the recorder has more counts than its table has room for")

    def own(self) -> list[Table]:
        """What this process counted, if it is in no file."""
        return (
            []
            if self._tally is None or self._has_ended or self.file is not None
            else [table_in_memory(self._tally.memory)]
        )

    def end(self) -> None:
        """Leave the counts to the next process that gathers: nothing is counted any more."""
        self.keep()
        self._has_ended = True
        if self._tally is not None:
            self._tally.begin({})
        self.let_go()

    def let_go(self) -> None:
        """Leave the file to others; in a forked child, to its parent."""
        file, self.file = self.file, None
        if file is not None:
            file.let_go()


def gathered(directory: Path | None, name: str, service: str, own: Iterable[Table]) -> Gathered:
    """What all processes of a recorder have counted. Reads files, and may wait for another process that does.

    :param directory: None in a run of tests, which has none.
    :param own: what this process has counted, if it is in no file.
    :raises ChestError: they cannot be read.
    """
    if directory is None or not locks_are_available() or not directory.is_dir():
        return together(own)
    return gather(directory, prefix_of(name, service), own)
