"""What the page says if there is nothing to show, if a question is wrong or takes long, and if no answer comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.testing import make_record
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import served
from tests.dashboard.browser.test_twelve_questions import question_of


@pytest.fixture(scope="module")
def chest() -> MemoryChest:
    chest = MemoryChest()
    chest.write([make_record(request_id=f"request-{place}") for place in range(20)])
    return chest


@pytest.fixture(scope="module")
def site(chest: MemoryChest) -> Iterator[str]:
    with served(chest) as url:
        yield url


def test_a_wrong_filter_shows_the_place_and_what_to_write(site: str, opens: Opens) -> None:
    person = opens(site)
    person.ask("durration>200ms")
    person.see("#filter-trouble", "did you mean duration?")
    assert person.find("#filter-trouble pre").inner_text() == "durration>200ms\n          ^"


def test_an_empty_answer_says_what_to_do(site: str, opens: Opens) -> None:
    person = opens(site)
    person.ask("plan=nobody")
    person.see("#heatmap .empty", "No request matches in this time range.")
    person.find("#heatmap button", "Without the filter").click()
    person.settle()
    assert question_of(person.url) == {}
    person.see("chest-heatmap")


def test_a_store_without_a_record_says_how_records_come(opens: Opens) -> None:
    with served(MemoryChest()) as url:
        person = opens(f"{url}?since=all")
        person.see("#heatmap .empty", "Nothing is stored yet.")


def test_a_store_that_is_down_is_a_sentence(site: str, opens: Opens) -> None:
    def break_down(page: Any) -> None:
        page.route(
            "**/api/**", lambda route: route.fulfill(status=503, body=json.dumps({"error": "The store is down."}))
        )

    person = opens(site, before=break_down)
    person.see("#heatmap .trouble", "The store is down.")


def test_a_server_that_is_gone_is_a_sentence(site: str, opens: Opens) -> None:
    person = opens(site, before=lambda page: page.route("**/api/**", lambda route: route.abort()))
    person.see("#top .trouble", "does not answer. Is it still running?")


def test_a_long_question_shows_that_it_is_asked_and_can_be_cancelled(site: str, opens: Opens) -> None:
    person = opens(site, before=lambda page: page.route("**/api/heatmap*", lambda route: None), settled=False)
    person.see(".waiting", "asking")
    person.find(".waiting button", "Cancel").click()
    person.see("#heatmap", "Cancelled.")
    assert person.find(".waiting").is_hidden()


def test_an_unknown_record_is_a_sentence(site: str, opens: Opens) -> None:
    person = opens(f"{site}record/none-of-this-name")
    person.see("#record .trouble", "none-of-this-name")


def test_live_shows_the_first_records_of_an_empty_store(opens: Opens) -> None:
    chest = MemoryChest()
    with served(chest) as url:
        person = opens(f"{url}?since=all")
        person.see("#heatmap .empty", "Nothing is stored yet.")
        person.find("#records button", "Live").click()
        chest.write([make_record(path="/the/first")])
        person.see("#records .request", "/the/first")


def test_the_url_of_a_record_that_is_no_text_is_told_that_there_is_none(site: str, opens: Opens) -> None:
    opens(f"{site}record/%ff").see(".page-record .trouble", "has no record whose id is")


def test_no_new_error_does_not_say_that_there_was_no_error(site: str, opens: Opens) -> None:
    opens(f"{site}new").see("#new .empty", "No new error in this time range.")
