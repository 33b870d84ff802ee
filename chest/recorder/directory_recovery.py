"""``recover_directory``: what dead processes left in a directory, delivered now, by the process that asks."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chest.chests.contract import Chest
from chest.chests.store_identity import store_identity
from chest.delivery.spool.place import SUFFIX as SPOOL_SUFFIX
from chest.delivery.spool.spool import Spool
from chest.delivery.worker import ChestWorker
from chest.delivery.workers import workers_for
from chest.delivery.writer import batch_write
from chest.errors import DirectoryError
from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.row import METHOD_CHARACTERS, PATH_CHARACTERS, utf8_path
from chest.record.text import storable_text
from chest.recorder.stores_in_use import forget_group
from chest.request.request_id import MOST_CHARACTERS
from chest.request.sanitizer.redaction import Redaction
from chest.ring.orphaned_ring import OrphanedRing
from chest.ring.recovery import SUFFIX, adopt_orphaned_rings
from chest.settings.settings import REDACTED_BY_DEFAULT
from chest.system.threads import sleep

_SPOOL_BYTES: Final = 1 << 40
"""Nothing is put there but dead letters, and what is read of damaged files."""
_TURNS: Final = 2
_ASIDE: Final = re.compile(r"\.(ring|spool)\.(damaged|unreadable)(-\d+)?(\.read)?(-\d+)?$")


class Recovered(NamedTuple):
    """What :func:`recover_directory` did."""

    rings: int
    """Ring files that were delivered and removed."""
    records: int
    """Records delivered, of rings and of spools."""
    damaged: int
    """Lines that could not be read; their files are set aside as ``*.damaged``."""
    rejected: int
    """Records that a chest refused for good, and which are dead letters now."""
    left: int
    """Ring files of living processes, or such that could not be delivered now."""
    spools_left: int
    """Spools of other chests than these, or such that another process delivers."""
    set_aside: tuple[Path, ...]
    """Damaged files of which what could be read was delivered, and which are kept for a person to look at."""
    complaints: tuple[str, ...]
    """What could not be done or read, a sentence each."""


class _Told(Counters):
    """Keeps every error; other counters keep the last."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, None] = {}

    def error(self, text: str) -> None:
        self.errors[text] = None
        super().error(text)


def recover_directory(directory: Path, chests: Sequence[Chest], spooled_for: str | None = None) -> Recovered:
    """Deliver what dead processes left in a directory, of whatever service, and what is spooled for the stores of these chests.

    What can be read of damaged files is delivered. Records that were delivered before are not doubled if the chest knows
    ``id``.

    :param spooled_for: part of another chest's label, such as the host that a store had before it moved: what is spooled for
        that one is also delivered to these.
    :raises DirectoryError: when the directory cannot be read.
    :raises ChestError: from a chest that takes nothing.
    """
    if not os.path.isdir(directory):  # Path.is_dir raises if a parent directory may not be searched
        raise DirectoryError(f"{directory} is not a readable directory: name the one that holds the .ring files")
    counters = _Told()
    aside_before = files_aside_in(directory)
    workers = workers_for(chests, counters, directory, _SPOOL_BYTES)
    # Spools first: a ring may hold the note of a killed request whose record waits there.
    others = _adopt_spools(directory, workers, counters)
    for worker in workers:
        for spool in worker.spools:
            _deliver_spool(spool, [worker], counters)
    if spooled_for:
        for path, label in others:
            if spooled_for in label or spooled_for in path.name:
                _deliver_spool(Spool(path, label, _SPOOL_BYTES, counters), workers, counters)
    rings = 0
    for ring in adopt_orphaned_rings(directory, counters, clean=cleaned_killed_request):
        _deliver_ring(ring, workers, counters)
        rings += 1
    left = sum(path.suffix == SUFFIX for path in directory.iterdir())
    spools_left = sum(_holds_records(path) for path in directory.glob("*" + SPOOL_SUFFIX))
    damaged = counters.get("dropped.damaged")
    rejected = counters.get("dropped.rejected") + sum(counters.snapshot().get("dead_letters", {}).values())
    if not left:
        forget_group(directory)
    aside = tuple(path for path in files_aside_in(directory) if path not in aside_before)
    return Recovered(
        rings, counters.get("recovered") - rejected, damaged, rejected, left, spools_left, aside, tuple(counters.errors)
    )


def files_aside_in(directory: Path) -> list[Path]:
    """Damaged files that are set aside, without the logs beside them. Raises OSError."""
    return sorted(path for path in directory.iterdir() if _ASIDE.search(path.name))


def _deliver_ring(ring: OrphanedRing, workers: Sequence[ChestWorker], counters: Counters) -> None:
    is_removed = False
    try:
        for worker in workers:
            worker.chest.open()
        for records, ends in ring.pieces():
            for worker in workers:
                _deliver_patiently(worker, records)
            for segment, position in ends:
                ring.commit(segment, position)
            counters.add("recovered", len(records))
        ring.remove()
        is_removed = True
    finally:
        if not is_removed:
            ring.release()


def _deliver_spool(spool: Spool, workers: Sequence[ChestWorker], counters: Counters) -> None:
    try:
        for _ in range(_TURNS):  # another turn after damage: what can be read around it is there then
            while spool.begin() and (piece := spool.oldest()) is not None:
                for worker in workers:
                    _deliver_patiently(worker, piece.records)
                spool.remove(piece)
                counters.add("recovered", len(piece.records))
            spool.try_now()
    finally:
        spool.close()


def _adopt_spools(directory: Path, workers: Sequence[ChestWorker], counters: Counters) -> list[tuple[Path, str]]:
    """Give each worker the spools of its store under other names; returns those of other stores, with their labels."""
    from chest.delivery.spool.contents import look_into
    from chest.delivery.spool.file import SpoolError  # loads SQLite, which not every program needs

    by_store = {store_identity(worker.chest.name): worker for worker in workers}
    own = {spool.path for worker in workers for spool in worker.spools}
    others = []
    for path in _spools_in(directory):
        if path in own:
            continue
        try:
            label = look_into(path).chest
        except SpoolError as error:
            if path.exists():
                counters.error(f"{error}; its store is unknown; --spooled-for takes a part of the file's name")
            label = path.name
        worker = by_store.get(store_identity(label))
        if worker is not None:
            worker.adopt_spool(path, label)
        else:
            others.append((path, label))
    return others


def _spools_in(directory: Path) -> list[Path]:
    """Spools, and the names of those of which only a damaged file is left."""
    names = {path.name for path in directory.glob("*" + SPOOL_SUFFIX)}
    names |= {path.name.removesuffix(".damaged") for path in directory.glob(f"*{SPOOL_SUFFIX}.damaged")}
    return [directory / name for name in sorted(names)]


def _holds_records(path: Path) -> bool:
    from chest.delivery.spool.contents import look_into
    from chest.delivery.spool.file import SpoolError

    try:
        return look_into(path).waiting.records > 0
    except SpoolError:
        return True


def _deliver_patiently(worker: ChestWorker, records: Sequence[Record], tries: int = 5) -> None:
    batch = batch_write(records)
    for _ in range(tries):
        if worker.writer.write(batch):
            return
        sleep(worker.writer.seconds_to_wait())
    worker.chest.write(records)  # says why


def cleaned_killed_request(record: Record) -> Record:
    """The record of a request whose process was killed, made as fit to be stored as any other.

    It was noted when the request began, when there was no time to look at it. The application, which might have said what else
    to redact, is gone: a URL in the path loses what it loses by default.
    """
    redaction = Redaction(REDACTED_BY_DEFAULT, ())
    return record._replace(
        request_id=storable_text(record.request_id, MOST_CHARACTERS),
        method=storable_text(record.method, METHOD_CHARACTERS),
        path=storable_text(redaction.clean_text(utf8_path(record.path)), PATH_CHARACTERS),
    )
