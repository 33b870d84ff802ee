"""``RecorderChests``: the chests of a recorder; the default chest if no other is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chest.chests.contract import Chest, ReadableChest
from chest.chests.memory import MemoryChest
from chest.chests.registry import UnusableChest, builtin_factory, open_chest, safe_url
from chest.errors import ChestError, SettingsError
from chest.record.messages import safe_message
from chest.recorder.stores_in_use import DEFAULT_STORE, default_store
from chest.settings.settings import Settings
from chest.system.process_hooks import is_under_test

_MOST_IN_MEMORY: Final = 10_000
"""Of a recorder in a run of tests, which may go on for hours."""


class DefaultPlace:
    """Says whether a recorder may write to the default place: in a run of tests it does not, and keeps everything in memory.

    :param settings: of the recorder; a directory that they name is used in any case.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_used = settings.directory is None
        self._asked: list[Callable[[], bool]] = []

    def ask(self, is_testing: Callable[[], bool]) -> None:
        """For adapters: ask this too, when the first request of a process comes."""
        self._asked.append(is_testing)

    @property
    def is_forbidden(self) -> bool:
        """True in a run of tests, if no directory was named."""
        return self._is_used and (is_under_test() or any(asked() for asked in self._asked))


class RecorderChests:
    """The chests of one recorder.

    :param given: chest URLs or chests.
    :param directory: of the default chest's file; asked when it is needed, as it may raise ChestError.
    """

    def __init__(self, given: Sequence[str | Chest], directory: Callable[[], Path]) -> None:
        self._given = given
        self._directory = directory
        self.opened = [open_chest(chest) if isinstance(chest, str) else chest for chest in given]
        """The default chest is among them once the first request has made a process ready."""
        self._is_in_memory = False
        if not given:
            with suppress(ChestError):  # said when the chest is made
                builtin_factory("sqlite")  # loads its driver now, not in the first request's time

    @property
    def stores(self) -> Sequence[str | Chest]:
        """What was given, or the URL of the default store. May raise ChestError."""
        if self._is_in_memory:
            return self.opened
        return self._given or (default_store(self._directory()),)

    @property
    def shown(self) -> str:
        """Their names, for a log: without secrets."""
        return ", ".join(safe_url(store) if isinstance(store, str) else store.name for store in self.stores)

    def open_default(self, *, in_memory: bool) -> None:
        """Open the default chest, if no other was named. Raises nothing.

        :param in_memory: whether that is a chest in memory.
        """
        if not self.opened:
            self._is_in_memory = in_memory
            self.opened = [MemoryChest(most_records=_MOST_IN_MEMORY) if in_memory else self._default_chest()]

    def _default_chest(self) -> Chest:
        url = DEFAULT_STORE
        try:
            url = default_store(self._directory())
            return open_chest(url)
        except Exception as error:  # noqa: BLE001 - such as a broken installation of a driver: records wait in the ring
            return UnusableChest(f"no chest was named, and the default one cannot be made: {safe_message(error)}", url)

    def readable(self) -> str | ReadableChest:
        """The first that can be read; by its URL if it has one, so that scheduled transfers read on their own connections.

        :raises SettingsError: no chest can be read.
        """
        if not self._given and not self._is_in_memory:
            return default_store(self._directory())
        for given, chest in zip(self._given or self.opened, self.opened, strict=True):
            if isinstance(chest, ReadableChest):
                return given if isinstance(given, str) else chest
        raise SettingsError("none of the recorder's chests can be read: name one with from=")
