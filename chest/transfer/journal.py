"""``Journal``: keeps the position of a transfer; only one run at a time moves it on."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

from chest.chests.contract import ReadableChest
from chest.chests.upkeep import CoordinationStore, VersionedValue
from chest.errors import ChestError, SettingsError
from chest.transfer.file_coordination import FileCoordinationStore
from chest.transfer.position import Position
from chest.transfer.sent import IdBlock

__all__ = ["Journal", "coordination_of"]


class Journal:
    """The position of one transfer, as a value in a coordination store.

    :param coordination: the source's, or that of a directory.
    :param name: the transfer's.
    """

    def __init__(self, coordination: CoordinationStore, name: str) -> None:
        self._coordination, self._name = coordination, name
        self._note: VersionedValue | None = None
        self._slots: set[int] = set()
        """Those that the note names: they are not written to before one that does not name them is kept."""

    def load(self) -> Position:
        """The position at which the last run stopped."""
        self._note = self._coordination.value(f"transfer {self._name}")
        position = Position() if self._note is None else Position.of_text(self._note.text, self._block_in)
        self._slots = _slots_of(position)
        return position

    def save(self, position: Position) -> None:
        """Keep the position that :meth:`load` gave and that has moved on; one that did not move is not written.

        :raises ChestError: another run has moved it since.
        """
        for block in position.sent.full:
            if block.slot is None:
                block.slot = self._keep(block, _slots_of(position))
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
        """Close the store."""
        self._coordination.close()

    def _set(self, text: str) -> None:
        kept = self._coordination.compare_and_set(f"transfer {self._name}", text, self._note)
        if kept is None:
            raise ChestError(
                f"Another run of the transfer {self._name!r} went on from the same place: this one ends, and nothing is"
                " lost. Let one run at a time, or give each a name= of its own."
            )
        self._note = kept

    def _block_in(self, slot: int) -> str:
        note = self._coordination.value(self._slot_name(slot))
        return "" if note is None else note.text

    def _keep(self, block: IdBlock, taken: set[int]) -> int:
        """Keep a full block in the first slot that is free for certain, and give its number.

        What was written there since our note was kept may be the block of another run, which is as far as we are; when it
        died before its own note was kept, the slot is free after our next.
        """
        version = 0 if self._note is None else self._note.version
        text = json.dumps({"since": version, "piece": block.as_json()}, separators=(",", ":"))
        for slot in count():
            if slot not in taken and slot not in self._slots:
                note = self._coordination.value(self._slot_name(slot))
                is_free = note is None or json.loads(note.text)["since"] < version
                if is_free and self._coordination.compare_and_set(self._slot_name(slot), text, note) is not None:
                    return slot
        raise AssertionError("unreachable: count() is infinite")

    def _slot_name(self, slot: int) -> str:
        return f"sent {slot} {self._name}"


def _slots_of(position: Position) -> set[int]:
    return {block.slot for block in position.sent.full if block.slot is not None}


def coordination_of(source: ReadableChest, directory: Path | str | None) -> CoordinationStore:
    """The store in which readers of the source coordinate: the directory if one is given, else the source itself.

    :raises SettingsError: there is neither.
    """
    if directory is not None:
        return FileCoordinationStore(Path(directory))
    coordination = source.coordination()
    if coordination is None:
        raise SettingsError(
            f"{source.name} cannot hold the position of a transfer: give directory=, where it is kept then."
        )
    return coordination
