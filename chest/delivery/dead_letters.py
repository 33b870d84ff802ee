"""``DeadLetters``: records that a chest refused for good where no lane was, kept where ``chest dead`` finds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from chest.counters import Counters
from chest.delivery.plain_words import plain_words
from chest.delivery.spool import DEAD_LETTER_BYTES, spool_path
from chest.directory import prepare_directory
from chest.errors import DirectoryError
from chest.record import Record


class DeadLetters:
    """Keeps refused records in the file that a lane of the same chest would use. Nothing is held open between them.

    For transfers; a lane buries by its own :class:`~chest.delivery.spool.Spool`, which never raises.

    :param directory: gives the recorder's directory, which is made where it is missing.
    :param counters: ``dead_letters.<chest>``, ``dropped.dead_letters_full``.
    """

    def __init__(self, directory: Callable[[], Path], counters: Counters) -> None:
        self._directory = directory
        self._counters = counters

    def bury(self, chest: str, record: Record, reason: str) -> None:
        """Keep the record.

        :param chest: the label of the chest that refused it.
        :param reason: kept without secrets, in one line.
        :raises DirectoryError: it could not be kept.
        """
        from chest.delivery.spool_file import SpoolError, SpoolFile  # loads SQLite, which not every program needs

        with closing(SpoolFile(spool_path(prepare_directory(self._directory()), chest), chest)) as file:
            try:
                dropped = file.bury([record], plain_words(reason), DEAD_LETTER_BYTES)
            except SpoolError as error:
                raise DirectoryError(f"what {chest} refuses cannot be kept as a dead letter: {error}") from error
        self._counters.add(f"dead_letters.{chest}")
        if dropped:
            self._counters.add("dropped.dead_letters_full", dropped)
