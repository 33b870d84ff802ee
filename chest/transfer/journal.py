"""``Journal``: where a transfer keeps the place it reached, so that only one run at a time moves it on."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

from chest.chests.base import ReadableChest
from chest.chests.upkeep import Ledger, Note
from chest.errors import ChestError, SettingsError
from chest.transfer.file_ledger import FileLedger
from chest.transfer.position import Position
from chest.transfer.sent import Piece

__all__ = ["Journal", "ledger_of"]


class Journal:
    """The position of one transfer as a note in a ledger.

    :param ledger: the source's, or that of a directory.
    :param name: the transfer's.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger, self._name = ledger, name
        self._note: Note | None = None
        self._slots: set[int] = set()
        """Those that the note names: they are not written to before one that does not name them is kept."""

    def load(self) -> Position:
        """Where the last run stopped."""
        self._note = self._ledger.note(f"transfer {self._name}")
        position = Position() if self._note is None else Position.of_text(self._note.text, self._piece_in)
        self._slots = _slots_of(position)
        return position

    def save(self, position: Position) -> None:
        """Keep the position that :meth:`load` gave and that has moved on; one that did not move is not written.

        :raises ChestError: another run has moved it since.
        """
        for piece in position.sent.full:
            if piece.slot is None:
                piece.slot = self._keep(piece, _slots_of(position))
        text = position.as_text()
        if text != (self._note.text if self._note else Position().as_text()):
            self._set(text)
            self._slots = _slots_of(position)

    def confirm(self) -> None:
        """See that the place can be kept, before something is sent to a target that would take it again and again.

        :raises ChestError: it cannot.
        """
        self._set(self._note.text if self._note else Position().as_text())

    def close(self) -> None:
        """Let the ledger go."""
        self._ledger.close()

    def _set(self, text: str) -> None:
        kept = self._ledger.set_note(f"transfer {self._name}", text, self._note)
        if kept is None:
            raise ChestError(
                f"Another run of the transfer {self._name!r} went on from the same place: this one ends, and nothing is"
                " lost. Let one run at a time, or give each a name= of its own."
            )
        self._note = kept

    def _piece_in(self, slot: int) -> str:
        note = self._ledger.note(self._slot_name(slot))
        return "" if note is None else note.text

    def _keep(self, piece: Piece, taken: set[int]) -> int:
        """Keep a full piece in the first slot that is free for certain, and give its number.

        What was written there since our note was kept may be the piece of another run, which is as far as we are; when it
        died before its own note was kept, the slot is free after our next.
        """
        version = 0 if self._note is None else self._note.version
        text = json.dumps({"since": version, "piece": piece.as_json()}, separators=(",", ":"))
        for slot in count():
            if slot not in taken and slot not in self._slots:
                note = self._ledger.note(self._slot_name(slot))
                is_free = note is None or json.loads(note.text)["since"] < version
                if is_free and self._ledger.set_note(self._slot_name(slot), text, note) is not None:
                    return slot
        raise AssertionError("the numbers have come to an end")

    def _slot_name(self, slot: int) -> str:
        return f"sent {slot} {self._name}"


def _slots_of(position: Position) -> set[int]:
    return {piece.slot for piece in position.sent.full if piece.slot is not None}


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
