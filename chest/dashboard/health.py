"""``health``: what waits on this host for which store, what was refused or dropped, and how late records are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chest.chests.contract import ReadableChest
from chest.chests.registry import safe_url
from chest.dashboard.reply import Reply, milliseconds
from chest.errors import ChestError, SettingsError
from chest.record.messages import printable
from chest.recorder.directory_status import DirectoryStatus, SpoolGlance, directories_of, status_of
from chest.recorder.recorder import Recorder
from chest.settings.settings import Settings

__all__ = ["health", "store_state"]

_MOST_LETTERS: Final = 50
"""Of each spool; ``chest dead list`` shows all."""


def health(
    recorder: Recorder | None, directories: Sequence[Path], store: Callable[[], dict[str, Any]], chests: Sequence[str]
) -> Reply:
    """What ``chest status`` and ``Recorder.stats()`` know. It delivers and changes nothing.

    :param recorder: of the application that the page is mounted in.
    :param directories: of the rings and spools; none: those that ``chest status`` looks at.
    :param store: gives the state of the store, and raises ChestError if it does not answer.
    :param chests: labels of the stores in use, as far as they are known: a spool for another one is orphaned.
    """
    found, errors = [], list[str]()
    for directory in _directories(recorder, directories, errors):
        try:
            found.append(_directory(status_of(directory, chests, looks=1)))
        except ChestError as error:
            errors.append(printable(str(error)))
    try:
        about: dict[str, Any] = {**store(), "error": None}
    except ChestError as error:
        about = {"error": printable(str(error))}
    return Reply(
        {
            "now_ms": time.time() * 1000,
            "store": about,
            "services": found,
            "recorder": None if recorder is None else {"service": _service(recorder), **recorder.stats()},
            "counts": _counts(recorder, errors),
            "errors": errors,
        },
        [
            {"directory": each["directory"], "kind": kind, **{name: row[name] for name in ("records", "oldest_ms", "complaint")}}
            for each in found
            for kind, rows in (("ring", each["rings"]), ("spool", each["spools"]))
            for row in rows
        ],
    )  # fmt: skip


def store_state(chest: ReadableChest, seconds: float) -> dict[str, Any]:
    """When the last record was stored, and how long after the end of its request."""
    newest = next(iter(chest.latest(limit=1, seconds=seconds).records), None)
    if newest is None:
        return {"name": chest.name, "newest_ms": None, "stored_ms": None, "lag_ms": None}
    stored_ms = newest.stored_at.timestamp() * 1000
    ended_ms = (newest.record.time_ns + newest.record.duration_ns) / 1e6
    return {
        "name": chest.name,
        "newest_ms": milliseconds(newest.record.time_ns),
        "stored_ms": stored_ms,
        "lag_ms": max(0.0, stored_ms - ended_ms),
    }


def _directories(recorder: Recorder | None, given: Sequence[Path], errors: list[str]) -> Sequence[Path]:
    if given:
        return given
    if recorder is not None:
        return [recorder.directory] if recorder.directory.exists() else []  # made with its first record
    try:
        settings = Settings.resolve({})
    except ChestError as error:
        errors.append(printable(str(error)))
        return ()
    with suppress(SettingsError):  # that there is none is no error: the application may run elsewhere
        return directories_of(settings)
    return ()


def _counts(recorder: Recorder | None, errors: list[str]) -> Mapping[str, int] | None:
    """What all processes of the recorder have counted; None if it keeps no counts (``metrics``)."""
    if recorder is None or not recorder.settings.metrics:
        return None
    try:
        return recorder.counted().counts
    except ChestError as error:
        errors.append(printable(str(error)))
        return None


def _service(recorder: Recorder) -> str:
    return recorder.request_side.resource.service


def _directory(status: DirectoryStatus) -> dict[str, Any]:
    services = sorted({ring.service for ring in status.rings if ring.service})
    return {
        "service": ", ".join(services) or status.directory.name,
        "directory": str(status.directory),
        "needs_care": status.needs_care,
        "oldest_ms": milliseconds(status.oldest_ns),
        "rings": [
            {
                "file": ring.path.name,
                "service": ring.service,
                "is_living": ring.is_living,
                "records": ring.records,
                "bytes": ring.bytes,
                "oldest_ms": milliseconds(ring.oldest_ns),
                "in_flight": len(ring.in_flight),
                "complaint": printable(ring.complaint),
            }
            for ring in status.rings
        ],
        "spools": [_spool(spool) for spool in status.spools],
        "set_aside": [path.name for path in status.set_aside],
    }


def _spool(spool: SpoolGlance) -> dict[str, Any]:
    letters = []
    if spool.dead_letters and not spool.complaint:
        letters = _letters(spool.path)
    return {
        "file": spool.path.name,
        "chest": safe_url(spool.chest),
        "records": spool.records,
        "bytes": spool.bytes,
        "oldest_ms": milliseconds(spool.oldest_ns),
        "dead_letters": spool.dead_letters,
        "letters": letters,
        "why": spool.why,
        "is_orphan": spool.is_orphan,
        "complaint": printable(spool.complaint),
    }


def _letters(path: Path) -> list[dict[str, Any]]:
    from chest.delivery.spool.contents import letters_in  # loads SQLite, which not every program needs
    from chest.delivery.spool.file import SpoolError

    try:
        letters = letters_in(path, _MOST_LETTERS)
    except SpoolError:
        return []  # that it cannot be read is told of the whole file
    return [
        {
            "id": letter.record.id,
            "refused_ms": milliseconds(letter.died_ns),
            "reason": letter.reason,
            "method": letter.record.method,
            "path": letter.record.path,
        }
        for letter in letters
    ]
