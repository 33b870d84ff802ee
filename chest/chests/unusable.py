"""``UnusableChest``: stands where a chest could not be made, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from chest.chests.base import Chest
from chest.errors import ChestUnavailable
from chest.record import Record


class UnusableChest(Chest):
    """Takes nothing, so that records wait in the ring and the reason is logged and counted like any store's failure.

    :param reason: what is wrong, and what to do about it; holds no secret.
    """

    def __init__(self, reason: str) -> None:
        self.name = "default"
        self._reason = reason

    def open(self) -> None:
        self._refuse()

    def write(self, records: Sequence[Record]) -> None:
        self._refuse()

    def check(self) -> None:
        self._refuse()

    def wait_at_most(self, seconds: float) -> bool:
        return True  # it waits for nothing

    def close(self) -> None: ...

    def _refuse(self) -> NoReturn:
        raise ChestUnavailable(self._reason)
