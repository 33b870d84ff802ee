"""The chest in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from chest.chests.memory import MemoryChest
from chest.errors import SettingsError
from chest.testing.readable_contract import ReadableChestContract
from chest.testing.records import make_record

_numbers = count()


@pytest.fixture
def url() -> Iterator[str]:
    """A URL that no other test uses."""
    url = f"memory:test-{next(_numbers)}"
    yield url
    MemoryChest(url).clear()


class TestContract(ReadableChestContract):
    @pytest.fixture
    def chest(self, url: str) -> Iterator[MemoryChest]:
        with MemoryChest(url) as chest:
            yield chest


def test_chests_of_one_url_share_what_they_hold(url: str) -> None:
    record = make_record()
    MemoryChest(url).write([record])
    assert MemoryChest(url).records == [record]
    assert MemoryChest(url + "-other").records == []


def test_a_chest_without_url_shares_nothing() -> None:
    chest = MemoryChest()
    chest.write([make_record()])
    assert MemoryChest().records == []
    assert MemoryChest("memory:").records == []


def test_what_is_held_stays_after_close_until_it_is_cleared(url: str) -> None:
    chest = MemoryChest(url)
    chest.write([make_record()])
    chest.close()
    assert len(MemoryChest(url).records) == 1
    chest.clear()
    assert MemoryChest(url).records == []


def test_threads_that_write_at_once_lose_nothing_and_share_no_cursor(url: str) -> None:
    def write() -> None:
        chest = MemoryChest(url)
        for _ in range(50):
            chest.write([make_record() for _ in range(5)])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cursors = [int(stored.cursor) for stored in MemoryChest(url).read(limit=10_000)]
    assert cursors == list(range(1, 4 * 50 * 5 + 1))


def test_parameters_are_refused() -> None:
    with pytest.raises(SettingsError, match="no parameters"):
        MemoryChest("memory:?limit=1")
