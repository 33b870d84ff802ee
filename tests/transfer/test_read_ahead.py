"""``pages_ahead``: every page once, whether it is read beside the one before or when it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from chest.chests.contract import Cursor, StoredRecord
from chest.errors import ChestUnavailable
from chest.transfer.read_ahead import pages_ahead
from tests.support import make_record, wait_until

STORED = [StoredRecord(place, datetime.now(UTC), make_record()) for place in range(1, 8)]


class Source:
    """Seven records; it fails at the read of this number."""

    def __init__(self, fails_at: int = 0) -> None:
        self.reads: list[Cursor | None] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self._fails_at = fails_at

    def read(self, after: Cursor | None) -> Sequence[StoredRecord]:
        self.reads.append(after)
        self.threads.add(threading.get_ident())
        self.go_on.wait(60)
        if len(self.reads) == self._fails_at:
            raise ChestUnavailable("down")
        return STORED[int(after or 0) :][:3]


@pytest.mark.parametrize("is_ahead", [True, False])
def test_every_page_is_read_once_and_the_last_is_short(is_ahead: bool) -> None:
    source = Source()
    places = []
    for page in pages_ahead(source.read, None, 3):
        if is_ahead:
            page.read_on()
            page.read_on()
        places.append([stored.cursor for stored in page.stored])
    assert places == [[1, 2, 3], [4, 5, 6], [7]]
    assert source.reads == [None, 3, 6]
    assert (len(source.threads) > 1) is is_ahead


def test_a_page_is_read_while_the_one_before_is_in_hand() -> None:
    source = Source()
    pages = pages_ahead(source.read, None, 3)
    page = next(pages)
    assert len(source.reads) == 1
    page.read_on()
    wait_until(lambda: len(source.reads) == 2)
    pages.close()


def test_what_fails_is_raised_when_the_page_is_wanted() -> None:
    source = Source(fails_at=2)
    pages = pages_ahead(source.read, None, 3)
    next(pages).read_on()
    with pytest.raises(ChestUnavailable, match="down"):
        next(pages)


def test_nothing_is_read_once_no_more_is_wanted() -> None:
    source = Source()
    pages = pages_ahead(source.read, None, 3)
    page = next(pages)
    source.go_on.clear()
    page.read_on()
    wait_until(lambda: len(source.reads) == 2)
    closing = threading.Thread(target=pages.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    source.go_on.set()
    closing.join(10)
    assert not closing.is_alive()
