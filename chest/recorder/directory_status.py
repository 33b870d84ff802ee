"""``status_of``: what waits in a directory of rings and spools, for which store, for how long, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chest.chests.store_identity import store_identity
from chest.delivery.spool.place import SUFFIX as SPOOL_SUFFIX
from chest.errors import DirectoryError, SettingsError
from chest.recorder.directory_recovery import files_aside_in
from chest.ring.glance import RingGlance, glance_at
from chest.ring.recovery import RingNames
from chest.settings.settings import Settings
from chest.system.directory import existing_directories, state_directory


class SpoolGlance(NamedTuple):
    """A spool as it was found."""

    path: Path
    chest: str
    """The label of the chest for which it was begun; empty if it cannot be read."""
    records: int
    bytes: int
    oldest_ns: int | None
    """When the request of the record that waits longest began."""
    dead_letters: int
    why: str
    """What the chest said when it did not take records; empty if it said nothing, or the release that kept them did not note it."""
    is_orphan: bool
    """True if no chest that was named is its store."""
    complaint: str
    """Why it cannot be read; empty if it can."""


class DirectoryStatus(NamedTuple):
    """What waits in one directory."""

    directory: Path
    rings: list[RingGlance]
    spools: list[SpoolGlance]
    set_aside: list[Path]
    """Damaged files that are kept for a person to look at."""

    @property
    def oldest_ns(self) -> int | None:
        """When the request of the oldest record began that waits here."""
        times = [ring.oldest_ns for ring in self.rings] + [spool.oldest_ns for spool in self.spools]
        return min((each for each in times if each is not None), default=None)

    @property
    def needs_care(self) -> bool:
        """True if anything waits here but in rings of living processes."""
        return (
            bool(self.set_aside)
            or any(ring.complaint or (ring.records and not ring.is_living) for ring in self.rings)
            or any(spool.complaint or spool.records or spool.dead_letters for spool in self.spools)
        )


def directories_of(settings: Settings) -> list[Path]:
    """The directories of a command or page that was not given one: that of the settings, else those of all services of this user.

    :raises SettingsError: there is none.
    """
    if settings.directory is not None:
        return [settings.directory]
    found = [path for path in existing_directories() if settings.service in (None, path.name)]
    if not found:
        of = "" if settings.service is None else f" of service {settings.service!r}"
        raise SettingsError(f"there is no directory{of} in {state_directory()}: give DIRECTORY, or set CHEST_DIRECTORY")
    return found


def status_of(directory: Path, chests: Sequence[str] = (), looks: int = 3) -> DirectoryStatus:
    """Look at a directory; nothing is delivered, changed or made.

    :param chests: labels or URLs of the chests in use; none: of no spool it is known whether its store is.
    :param looks: see :func:`~chest.ring.glance.glance_at`.
    :raises DirectoryError: the directory cannot be read.
    """
    try:
        names = RingNames.of(directory)
        spools = sorted(name for name in os.listdir(directory) if name.endswith(SPOOL_SUFFIX))
        aside = files_aside_in(directory)
    except OSError as error:
        raise DirectoryError(f"{directory} cannot be read: {error.strerror}") from error
    stores = {store_identity(chest) for chest in chests}
    return DirectoryStatus(
        directory,
        glance_at([directory / name for name in sorted([*names.locked, *names.others])], looks),
        [_spool(directory / name, stores) for name in spools],
        aside,
    )


def _spool(path: Path, stores: set[str]) -> SpoolGlance:
    from chest.delivery.spool.contents import look_into
    from chest.delivery.spool.file import SpoolError  # loads SQLite, which not every program needs

    try:
        found = look_into(path)
    except SpoolError as error:
        return SpoolGlance(path, "", 0, 0, None, 0, "", is_orphan=False, complaint=str(error))
    is_orphan = bool(stores) and store_identity(found.chest) not in stores
    return SpoolGlance(
        path, found.chest, *found.waiting, found.oldest_ns, found.dead.records, found.why, is_orphan, complaint=""
    )
