"""``look_into``: what a spool's file holds, asked without changing it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from chest.delivery.spool.dead_letters import DeadLetter, letters_of
from chest.delivery.spool.file import BUSY_SECONDS, Size, SpoolError, records_of, refuse_foreign_directory


class Contents(NamedTuple):
    """What a spool's file holds, as :func:`look_into` found it."""

    chest: str
    """The label of the chest that it was begun for."""
    waiting: Size
    dead: Size
    oldest_ns: int | None
    """When the request began that has waited longest; None if none waits or it cannot be read."""
    why: str
    """What the chest said when it last did not take records; empty if nothing is noted."""


def oldest_number(path: Path) -> int | None:
    """The number of the piece that has waited longest; None if none waits. Asked on a connection of its own.

    :raises SpoolError: it cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
            number: int | None = connection.execute("SELECT min(seq) FROM spooled").fetchone()[0]
            return number
    except sqlite3.DatabaseError as error:
        raise SpoolError(f"{path}: {error}") from error


def letters_in(path: Path, limit: int) -> list[DeadLetter]:
    """The dead letters that were refused last, the last one first. Makes nothing and changes nothing.

    :raises SpoolError: it cannot be read.
    """
    asked = "SELECT seq, died_ns, reason, line FROM dead ORDER BY seq DESC LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
            return letters_of(connection.execute(asked, (limit,)).fetchall())
    except sqlite3.DatabaseError as error:
        raise SpoolError(f"{path}: {error}") from error


def look_into(path: Path) -> Contents:
    """What a spool holds. Makes nothing, changes nothing, and sets nothing aside.

    :raises SpoolError: it is not this user's, or cannot be read.
    """
    try:
        refuse_foreign_directory(path)
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise SpoolError(f"{path} is not a regular file of this user")
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
            label = connection.execute("SELECT chest FROM about").fetchone()
            sizes = {kind: Size(*size) for kind, *size in connection.execute("SELECT kind, records, bytes FROM sizes")}
            oldest = connection.execute("SELECT lines FROM spooled ORDER BY seq LIMIT 1").fetchone()
            why = None
            with suppress(sqlite3.OperationalError):  # of a release that had no such table
                why = connection.execute("SELECT why FROM trouble").fetchone()
    except sqlite3.DatabaseError as error:
        raise SpoolError(f"{path}: {error}") from error
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror or error}") from error
    records = records_of(oldest[0])[0] if oldest else []
    return Contents(
        "" if label is None else str(label[0]),
        sizes.get("spooled", Size(0, 0)),
        sizes.get("dead", Size(0, 0)),
        min((record.time_ns for record in records), default=None),
        "" if why is None else str(why[0]),
    )
