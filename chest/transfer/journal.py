"""``Journal``: where a transfer keeps the place it reached, so that only one run at a time moves it on."""

from __future__ import annotations

from pathlib import Path

from chest.chests.base import ReadableChest
from chest.chests.upkeep import Ledger, Note
from chest.errors import ChestError, SettingsError
from chest.transfer.file_ledger import FileLedger
from chest.transfer.position import Position

__all__ = ["Journal", "ledger_of"]


class Journal:
    """The position of one transfer as a note in a ledger.

    :param ledger: the source's, or that of a directory.
    :param name: the transfer's.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger, self._name = ledger, name
        self._note: Note | None = None

    def load(self) -> Position:
        """Where the last run stopped."""
        self._note = self._ledger.note(self._key)
        return Position() if self._note is None else Position.of_text(self._note.text)

    def save(self, position: Position) -> None:
        """Keep the position that :meth:`load` gave and that has moved on; one that did not move is not written.

        :raises ChestError: another run has moved it since.
        """
        text = position.as_text()
        if text == (self._note.text if self._note else Position().as_text()):
            return
        kept = self._ledger.set_note(self._key, text, self._note)
        if kept is None:
            raise ChestError(
                f"Another run of the transfer {self._name!r} went on from the same place: this one ends, and nothing is"
                " lost. Let one run at a time, or give each a name= of its own."
            )
        self._note = kept

    def close(self) -> None:
        """Let the ledger go."""
        self._ledger.close()

    @property
    def _key(self) -> str:
        return f"transfer {self._name}"


def ledger_of(source: ReadableChest, directory: Path | str | None) -> Ledger:
    """Where those who read the source agree: the directory if there is one, else the source itself.

    :raises SettingsError: there is neither.
    """
    if directory is not None:
        return FileLedger(Path(directory))
    ledger = source.ledger()
    if ledger is None:
        raise SettingsError(f"{source.name} has no place for notes: give directory=, where the place reached is kept.")
    return ledger
