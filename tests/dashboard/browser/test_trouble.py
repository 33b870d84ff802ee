"""What the page says if there is nothing to show, if a question is wrong or takes long, and if no answer comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.testing import make_record
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import served, serving
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


def test_a_click_asks_what_was_perhaps_meant(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=all&filter=durration>0ms+outcome=ok")
    person.find("#filter-trouble button", "Ask duration>0ms outcome=ok").click()
    assert question_of(person.url) == {"since": "all", "filter": "duration>0ms outcome=ok"}
    assert person.find("#filter").input_value() == "duration>0ms outcome=ok"
    person.see("#records tbody tr")
    assert person.find("#filter-trouble").count() == 0


def test_a_wrong_selection_is_a_sentence_beside_it(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=all&these=outcome==ok", settled=False)
    person.see("#different .trouble", "selection: == is no operator; write =")
    assert person.find("#filter-trouble").count() == 0


def test_few_questions_are_asked_at_once_also_if_others_are_given_up(site: str, opens: Opens) -> None:
    def hold(page: Any) -> None:
        page.route("**/api/**", lambda route: None)
        page.add_init_script("""
            const asked = window.fetch;
            let open = 0;
            window.most = window.all = 0;
            window.fetch = (...question) => {
                window.all += 1;
                window.most = Math.max(window.most, ++open);
                return asked(...question).finally(() => { open -= 1; });
            };
        """)

    person = opens(site, before=hold, settled=False)
    for time_range in ("3h", "6h", "1d"):
        person.find("#time").select_option(time_range)
    person.page.wait_for_function("() => window.all >= 12")
    assert person.page.evaluate("window.most") == 3


def test_an_empty_answer_says_what_to_do(site: str, opens: Opens) -> None:
    person = opens(site)
    person.ask("plan=nobody")
    person.see("#heatmap .empty", "No request matches in this time range.")
    person.find("#heatmap button", "Without the filter").click()
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


def test_behind_a_proxy_that_takes_the_prefix_away_every_way_leads_on(chest: MemoryChest, opens: Opens) -> None:
    page = ChestPage(chest, allow="everybody", seconds=8)
    with serving(page, knows_prefix=False) as url:
        person = opens(f"{url}?since=all")
        person.find("#records tbody a").first.click()
        person.see("#record .facts")
        assert person.url.startswith(f"{url}record/")
        person.page.reload()
        person.find("nav a", "Health").click()
        person.see("#health h3", "Store")
        assert person.url == f"{url}health"
        person.find("nav a", "Explore").click()
        person.see("#heatmap")
        assert person.url == url


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
