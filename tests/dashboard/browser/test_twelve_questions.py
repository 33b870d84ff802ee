"""Each of the twelve questions of docs/asking.md, asked as a person would: typed, dragged, clicked, by keys."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from chest.chests.registry import open_chest
from chest.testing import make_record
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.planted import CAUSE


def question_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_1_is_it_well_now_and_against_before(site: str, opens: Opens) -> None:
    person = opens(site)
    for name in ("Rate", "Errors", "p50", "p95"):
        person.see(f'.tile[aria-label="{name}"] .change', "was")
    person.find('.tile[aria-label="p95"] button').click()
    person.see("#larger canvas")
    person.see("#larger", "/checkout")
    assert question_of(person.url)["metric"] == "p95"


def test_2_when_did_it_begin(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    person.see("#heatmap .release", "release 1.4.2 from")
    box = person.find('.tile[aria-label="Errors"] .u-over').bounding_box()
    middle = box["y"] + box["height"] / 2
    person.drag(box["x"] + box["width"] * 0.55, middle, box["x"] + box["width"] * 0.75, middle)
    asked = question_of(person.url)
    assert asked["since"] < asked["until"]
    person.page.go_back()
    assert question_of(person.url) == {"since": "3h"}


def test_3_what_is_different_about_the_slow_ones(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    person.drag_heatmap(250, 0.6)
    first = person.find("#different .names > li").first
    assert first.locator("h3").inner_text() == "payment_provider"
    cause = first.locator("button.value").first
    assert CAUSE in cause.inner_text()
    assert "points" in cause.inner_text()
    before = person.find("chest-heatmap canvas").evaluate("it => it.toDataURL()")
    cause.hover()
    # it shows where the value lies
    person.page.wait_for_function(
        "old => document.querySelector('chest-heatmap canvas').toDataURL() != old", arg=before
    )
    person.picture("explore-cause-found")
    cause.click()
    assert question_of(person.url)["filter"] == f"payment_provider={CAUSE}"


def test_3_a_click_with_shift_excludes(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    person.drag_heatmap(250, 0.6)
    person.find("#different button.value", CAUSE).first.click(modifiers=["Shift"])
    assert question_of(person.url)["filter"] == f"payment_provider!={CAUSE}"


def test_4_which_routes_cost_the_most_and_which_fail(site: str, opens: Opens) -> None:
    person = opens(site, settled=False)
    assert person.find('#top th[aria-sort="descending"]').inner_text() == "Total time ↓"
    person.find("#top th button", "Errors").click()
    person.see("#top tbody tr:first-child th", "/checkout")
    assert question_of(person.url) == {"sort": "errors"}
    assert person.find("#top tbody tr").first.locator("svg.spark").count() == 1


def test_5_one_population_or_two(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h", settled=False)
    person.ask(f"payment_provider={CAUSE} duration<5s")
    person.find("#heatmap summary").click()
    rows = person.find("#heatmap table tbody tr").all_inner_texts()
    totals = [sum(int(each.replace(",", "")) for each in row.split("\t")[1:]) for row in rows]
    tops = [place for place, total in enumerate(totals) if total >= 10]
    assert any(later - earlier > 1 for earlier, later in pairwise(tops)), (
        rows,
        "two bands, a gap between",
    )


def test_5_what_is_far_above_the_axis_is_a_row_of_its_own(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h", settled=False)
    person.see("#heatmap .hint", "Rings on top: slower than the axis")
    person.find("#heatmap summary").click()
    assert person.find("#heatmap tbody th").first.inner_text().startswith("over ")


def test_6_who_is_hit_and_how_many(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h", settled=False)
    person.page.keyboard.press("/")
    person.page.keyboard.type("erro")
    person.see("#offers li", "error")
    person.page.keyboard.press("Tab")
    person.page.keyboard.type("Pay")
    person.see("#offers li", "PaymentTimeout")
    person.page.keyboard.press("ArrowDown")
    person.page.keyboard.press("Enter")
    person.page.keyboard.press("Enter")
    person.settle()
    assert question_of(person.url)["filter"].strip() == "error=PaymentTimeout"
    person.find("#wanted").fill("user_id")
    person.see("#distributions h3", "user_id")
    heading = person.find("#distributions h3").first.inner_text()
    assert int(heading.split(" values")[0].split()[-1]) > 5


def test_7_show_me_this_request(site: str, opens: Opens) -> None:
    person = opens(site, settled=False)
    person.ask("request-11000")
    person.see("#record .facts")
    assert "/record/request-11000" in person.url
    assert "request-11000" in person.find("#fields-title + table").inner_text()
    copied = json.loads(person.find(".copies button", "JSON").get_attribute("data-text"))
    assert copied["request_id"] == "request-11000"
    assert copied["time_ns"] % 1000 != 0, "whole numbers beyond 2^53 are copied as they are"
    assert person.find(".copies button", "curl").get_attribute("data-text").startswith("curl ")
    command = person.find(".copies button", "chest find").get_attribute("data-text")
    assert command == f"chest find id={copied['id']}"
    link = person.find(".copies a", "Link").get_attribute("href")
    assert link.endswith(f"/record/{copied['id']}")
    user = person.find("#variables-title + table tr", "user_id").locator("td").first.inner_text()
    person.find(".neighbours a", "previous").first.click()
    person.page.wait_for_url(re.compile("/record/[0-9a-f]{32}$"))
    person.page.reload()
    person.see("#variables-title + table tr", user)


def test_8_what_did_this_user_do_before(site: str, opens: Opens) -> None:
    person = opens(f"{site}record/request-9000")
    person.find("#variables-title + table tr", "user_id").locator("a").click()
    person.see("#records tbody tr")
    person.settle()
    asked = question_of(person.url)
    assert asked["filter"].startswith("user_id=user-")
    lines = person.find("#records tbody tr:not(.gap)").all_inner_texts()
    assert len(lines) > 10
    assert all(asked["filter"] in line for line in lines)
    assert lines == sorted(lines, reverse=True)
    person.page.keyboard.press("/")
    person.page.keyboard.type(" route=/checkout")
    person.page.keyboard.press("Enter")
    person.see("#records .gap", "without a request")


def test_9_did_the_release_help(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h", settled=False)
    person.find('#top input[name="by"]').fill("release")
    person.find('#top input[name="by"]').press("Enter")
    person.find('#top input[aria-label="Compare 1.4.1"]').check()
    person.find('#top input[aria-label="Compare 1.4.2"]').check()
    person.find("#compare").click()
    assert question_of(person.url) == {
        "since": "3h",
        "by": "release",
        "these": "release=1.4.2",
        "others": "release=1.4.1",
    }
    person.see("#different .sure", "points (")


def test_10_what_happens_right_now(site: str, store_url: str, opens: Opens) -> None:
    person = opens(site)
    with open_chest(store_url) as chest:
        chest.write([make_record(request_id="paused", path="/while-paused", time_ns=time.time_ns())])
        person.see("#records button", "1 new")
        assert person.find("#records .request", "/while-paused").count() == 0
        person.find("#records button", "1 new").click()
        person.see("#records .request", "/while-paused")
        chest.write([make_record(request_id="live", path="/while-live", time_ns=time.time_ns())])
        person.see("#records .request", "/while-live")
    person.see("#records .live", "arrive")
    person.find("#records button", "Pause").click()
    person.see("#records button", "Live")


def test_11_what_is_new(site: str, opens: Opens) -> None:
    person = opens(site, settled=False)
    person.find("nav a", "New").click()
    person.page.locator("#new select").select_option("6h")
    person.see('#new [aria-label="New errors"] tr', "PaymentTimeout")
    person.find("#new a", "PaymentTimeout").first.click()
    assert question_of(person.url) == {"filter": "error=PaymentTimeout", "since": "6h"}


def test_12_can_i_trust_this(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    assert person.find(".tile .basis").all_inner_texts() == ["exact"] * 4
    person.see("#distributions .estimated", "≈ estimated from 5,000 of")
    person.find("nav a", "Health").click()
    person.see("#health", "Store")
