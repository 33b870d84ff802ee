"""On a telephone: a finger that goes up and down scrolls the page, one that begins sideways draws a rectangle."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import Person
from tests.dashboard.browser.test_twelve_questions import question_of

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True, scope="session")


@pytest.fixture(scope="module")
def profile(chromium: Any) -> Any:
    """A telephone."""
    return chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)


@pytest.fixture
def person(site: str, opens: Opens) -> Person:
    person = opens(f"{site}?since=3h", width=360)
    person.find("chest-heatmap").scroll_into_view_if_needed()
    return person


def _swipe(person: Person, *shares: tuple[float, float]) -> None:
    """A finger over the heatmap, from one place to the others: shares of its width and height."""
    box = person.find("chest-heatmap").bounding_box()
    places = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y} for x, y in shares]
    session = person.page.context.new_cdp_session(person.page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for one, other in pairwise(places):
        for step in range(1, 11):
            point = {axis: one[axis] + (other[axis] - one[axis]) * step / 10 for axis in "xy"}
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_up_and_down_scrolls_the_page_over_the_heatmap(person: Person) -> None:
    before = person.page.evaluate("scrollY")
    _swipe(person, (0.6, 0.9), (0.6, 0.1))
    person.page.wait_for_function("before => scrollY > before + 100", arg=before)
    assert question_of(person.url) == {"since": "3h"}
    assert person.find("chest-heatmap").evaluate("it => it.cells") is None


def test_sideways_draws_a_rectangle_wherever_the_finger_goes_then(person: Person) -> None:
    before = person.page.evaluate("scrollY")
    _swipe(person, (0.5, 0.2), (0.9, 0.2), (0.9, 0.7))
    person.see("#different")
    chosen = question_of(person.url)
    assert float(chosen["low"]) < float(chosen.get("high", "inf"))
    assert float(chosen["from"]) < float(chosen["to"])
    cells = person.find("chest-heatmap").evaluate("it => it.cells")
    assert cells["lastRow"] - cells["firstRow"] > 10
    assert person.page.evaluate("scrollY") == before


def test_a_tap_takes_the_rectangle_away(person: Person) -> None:
    _swipe(person, (0.5, 0.3), (0.9, 0.6))
    person.see("#different")
    person.find("chest-heatmap").scroll_into_view_if_needed()
    person.find("chest-heatmap").tap()
    person.find("#different").wait_for(state="detached")
    assert question_of(person.url) == {"since": "3h"}
