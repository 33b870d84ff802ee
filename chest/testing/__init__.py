"""For tests: of applications that use Chest, and of chests that others write."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.testing.contract import ChestContract
    from chest.testing.readable_contract import ReadableChestContract
    from chest.testing.recorded import TestRecords
    from chest.testing.records import make_record
    from chest.testing.stream_contract import StreamChestContract

__all__ = ["ChestContract", "ReadableChestContract", "StreamChestContract", "TestRecords", "make_record"]

_HOMES: Final = {
    "ChestContract": "chest.testing.contract",
    "ReadableChestContract": "chest.testing.readable_contract",
    "StreamChestContract": "chest.testing.stream_contract",
    "TestRecords": "chest.testing.recorded",
    "make_record": "chest.testing.records",
}

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)

if "pytest" in sys.modules:  # else nothing is tested here: records are made, in an example or a program
    # A test tool, imported by tests alone: their ``assert`` is shown with its values, as in a test file.
    sys.modules["pytest"].register_assert_rewrite(
        "chest.testing.contract", "chest.testing.readable_contract", "chest.testing.stream_contract"
    )
