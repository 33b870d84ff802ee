"""The feed of records: it goes on whatever else is asked, shows each record once, and keeps up with more than can be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.contract import StoredRecord
from chest.chests.memory import MemoryChest
from chest.testing import make_record
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import PATIENCE_MS, served


class _HeldChest(MemoryChest):
    """Answers what came since when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer, self.is_asked = threading.Event(), threading.Event()
        self.may_answer.set()

    def read(self, *arguments: Any, **options: Any) -> list[StoredRecord]:
        if options.get("after"):  # 0, too, is no place: the feed's first answer begins there
            self.is_asked.set()
            self.may_answer.wait(PATIENCE_MS / 1000)
        return super().read(*arguments, **options)


@pytest.fixture
def chest() -> _HeldChest:
    chest = _HeldChest()
    _write(chest, "/before")
    return chest


@pytest.fixture
def site(chest: _HeldChest) -> Iterator[str]:
    with served(chest, patience_seconds=120) as url:
        yield f"{url}?since=all"


def _write(chest: MemoryChest, *paths: str) -> None:
    chest.write([make_record(path=path) for path in paths])


class _Reader:
    """A person whose clock can be put forward to the next look at the store."""

    def __init__(self, opens: Opens, url: str) -> None:
        self.person = opens(url, before=lambda page: page.clock.install())
        self.find = self.person.find

    def look(self) -> None:
        """Wait for the answer of the next look."""
        with self.person.page.expect_response(lambda response: "after_id" in response.url):
            self.wait()

    def wait(self, ms: int = 2500) -> None:
        """For longer than the feed pauses."""
        self.person.page.clock.fast_forward(ms)


def test_it_goes_on_if_another_question_was_asked_in_between(chest: _HeldChest, site: str, opens: Opens) -> None:
    reader = _Reader(opens, site)
    reader.person.ask("outcome=ok")
    reader.wait(600)  # what else draws the page has ended
    reader.wait()  # the look that comes now belongs to the first question
    _write(chest, "/since")
    reader.look()
    reader.person.see("#records button", "1 new")


def test_what_is_asked_while_an_answer_is_awaited_shows_no_record_twice(
    chest: _HeldChest, site: str, opens: Opens
) -> None:
    reader = _Reader(opens, site)
    _write(chest, "/since")
    chest.may_answer.clear()
    reader.wait()
    assert chest.is_asked.wait(PATIENCE_MS / 1000)
    reader.person.page.keyboard.press("/")  # draws the page
    reader.person.see("#offers li")
    reader.wait()
    chest.may_answer.set()
    reader.person.see("#records button", "new")
    _write(chest, "/later")
    reader.look()
    reader.person.see("#records button", "2 new")


def test_a_look_that_is_answered_after_all_was_asked_again_shows_no_record_twice(
    chest: _HeldChest, site: str, opens: Opens
) -> None:
    reader = _Reader(opens, site)
    chest.may_answer.clear()
    with reader.person.page.expect_response(lambda response: "after_id" in response.url):
        reader.wait()
        assert chest.is_asked.wait(PATIENCE_MS / 1000)
        _write(chest, "/since")
        reader.find("button", "Ask again").click()
        reader.person.see("#records .request", "/since")
        chest.may_answer.set()
    _write(chest, "/later")
    reader.look()
    reader.person.see("#records button", "1 new")


def test_it_goes_on_after_the_store_was_emptied(chest: _HeldChest, site: str, opens: Opens) -> None:
    reader = _Reader(opens, site)
    chest.clear()
    reader.look()
    _write(chest, "/since")
    reader.look()
    reader.person.see("#records button", "1 new")


def test_what_is_shown_stays_when_it_is_paused(chest: _HeldChest, site: str, opens: Opens) -> None:
    reader = _Reader(opens, site)
    reader.find("#records button", "Live").click()
    _write(chest, "/live")
    reader.look()
    reader.person.see("#records .request", "/live")
    reader.find("#records button", "Pause").click()
    _write(chest, "/paused")
    reader.look()
    reader.person.see("#records button", "1 new")
    assert reader.find("#records .request").all_inner_texts() == ["GET /live", "GET /before"]


def test_it_stays_live_however_many_records_come(chest: _HeldChest, site: str, opens: Opens) -> None:
    reader = _Reader(opens, site)
    reader.find("#records button", "Live").click()
    for burst in range(4):
        _write(chest, *(f"/burst/{burst}/{number}" for number in range(150)))
        reader.look()
        reader.person.see("#records .request", f"/burst/{burst}/149")
    assert reader.find("#records .request").count() == 500
    assert reader.find("#records .request").last.inner_text() == "GET /burst/0/100"
    reader.find("#records button", "Earlier ones").click()
    reader.person.see("#records .request", "/burst/0/50")


def test_of_more_than_can_be_read_it_shows_the_newest_and_says_so(chest: _HeldChest, site: str, opens: Opens) -> None:
    reader = _Reader(opens, site)
    reader.find("#records button", "Live").click()
    reader.person.see("#records button", "Pause")
    _write(chest, *(f"/many/{number}" for number in range(1000)))
    reader.look()
    reader.person.see("#records .live", "not all are shown")
    assert reader.find("#records .request").first.inner_text() == "GET /many/999"
    _write(chest, "/after/that")
    reader.look()
    reader.person.see("#records .request", "/after/that")
    reader.find("#records button", "Earlier ones").click()
    reader.person.see("#records .request", "/many/750")
    numbers = [int(text.rpartition("/")[2]) for text in reader.find("#records .request", "/many/").all_inner_texts()]
    assert numbers == list(range(999, 749, -1)), "without a hole"
