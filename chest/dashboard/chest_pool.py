"""``ChestPool``: answers a bounded number of questions at a time, each within a bounded time of its request."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable, SettingsError
from chest.system.fork_guard import call_in_child, check_fork
from chest.system.threads import start_thread

__all__ = ["ChestPool", "TooBusy"]

T = TypeVar("T")
_logger: Final = logging.getLogger("chest.dashboard")
_LONGEST_PAUSE_SECONDS: Final = 0.01


class TooBusy(ChestUnavailable):
    """As many questions are being answered as there may be."""


class ChestPool:
    """Chests that are asked, each for one question at a time.

    A question is asked in a thread of its own, so that a store that does not answer holds no request longer than
    ``wait_seconds``; its place stays taken until the store has answered.

    :param source: gives the chest, or its URL: then each place has a chest, and a connection, of its own.
    :param size: how many questions at a time.
    :param wait_seconds: the longest that a caller waits.
    """

    def __init__(self, source: Callable[[], ReadableChest | str], size: int, wait_seconds: float) -> None:
        self._source, self._size, self.wait_seconds = source, size, wait_seconds
        self._begin_anew()
        call_in_child(self._begin_anew)

    def ask(self, question: Callable[[ReadableChest], T]) -> T:
        """What the question answers.

        :raises TooBusy: all places are taken.
        :raises ChestUnavailable: the chest does not answer in time, or says so.
        """
        check_fork()
        try:
            place = self._places.pop()
        except IndexError:
            raise TooBusy(
                f"{self._size} questions are being answered already: ask again in a second.", retry_after=1
            ) from None
        asked = _Asked(question, place, self._places)
        try:
            start_thread(asked.run)
        except RuntimeError:
            self._places.append(place)
            raise TooBusy("This process can start no thread now: ask again in a second.", retry_after=1) from None
        return asked.wait(self.wait_seconds)

    def close(self) -> None:
        """Close the chests that this pool opened and that answer no question now."""
        for place in list(self._places):
            place.close()

    def _begin_anew(self) -> None:
        """At first, and in a forked child: the threads that ask are its parent's."""
        self._places = deque(_Place(self._source) for _ in range(self._size))


class _Place:
    """One chest of the pool; opened when it is first asked."""

    def __init__(self, source: Callable[[], ReadableChest | str]) -> None:
        self._source = source
        self._chest: ReadableChest | None = None
        self._url: str | None = None

    def chest(self) -> ReadableChest:
        given = self._source()
        if not isinstance(given, str):
            return given
        if self._chest is None or given != self._url:
            self.close()
            chest = open_chest(given)
            if not isinstance(chest, ReadableChest):
                raise SettingsError(f"{chest.name} can only be written; give the URL of a chest that can be read.")
            self._chest, self._url = chest, given
        return self._chest

    def close(self) -> None:
        if self._chest is not None:
            self._chest.close()
            self._chest = None


class _Asked(Generic[T]):
    """One question, from its beginning to its answer."""

    def __init__(self, question: Callable[[ReadableChest], T], place: _Place, places: deque[_Place]) -> None:
        self._question, self._place, self._places = question, place, places
        self._answer: Any = None
        self._error: BaseException | None = None
        self._is_answered = False

    def run(self) -> None:
        """In the thread that asks."""
        try:
            self._answer = self._question(self._place.chest())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
        finally:
            self._places.append(self._place)
            self._is_answered = True

    def wait(self, seconds: float) -> T:
        """By short pauses, which let others work under gevent too: a lock of the thread that asks would stop its hub."""
        begin = time.monotonic()
        while not self._is_answered:
            waited = time.monotonic() - begin
            if waited > seconds:
                raise ChestUnavailable(
                    f"The store did not answer within {seconds:g} s. Ask for a shorter time range, or look at the store.",
                    retry_after=1,
                )
            time.sleep(min(_LONGEST_PAUSE_SECONDS, 0.0002 + waited / 10))
        if self._error is not None:
            raise self._error
        answer: T = self._answer
        return answer
