"""The page for everybody: by keyboard alone, with a screen reader, light and dark, on a telephone and on a wall."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import DESKTOP, Person
from tests.dashboard.browser.test_twelve_questions import question_of
from tests.dashboard.node_packages import node_modules

VIEWS = {
    "explore": "?since=3h",
    "selected": "?since=3h&by=release&these=duration>=250ms&metric=p95",
    "record": "record/request-9000",
    "new": "new?since=6h",
    "health": "health",
}


class Seen(NamedTuple):
    """A view in a window, which tests look at in each theme and width: it asks nothing again for them."""

    name: str
    person: Person

    def turn(self, theme: str, width: int = DESKTOP["width"]) -> None:
        """To this theme and width; what is drawn has followed."""
        self.person.page.emulate_media(color_scheme=theme)
        self.person.resize(width)
        self.person.settle()
        self.person.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


# One store is enough: no answer differs.
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(node_modules()) / "axe-core" / "axe.min.js").read_text()


def test_the_cause_is_found_and_excluded_by_keys_alone(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    keyboard = person.page.keyboard
    for _ in range(40):
        keyboard.press("Tab")
        if person.page.evaluate("() => document.activeElement.tagName") == "CHEST-HEATMAP":
            break
    keyboard.press("ArrowUp")
    said = person.page.locator("#said")
    assert "requests" in said.inner_text()
    for _ in range(60):
        keyboard.press("ArrowUp")
    assert "over" in said.inner_text(), "the rectangle is moved up to the slowest"
    keyboard.press("Enter")
    assert float(question_of(person.url)["low"]) > 20
    first = person.find("#different .names > li").first
    assert first.locator("h3").inner_text() in ("payment_provider", "route", "path", "method")
    for _ in range(40):
        keyboard.press("Tab")
        if person.page.evaluate("() => document.activeElement.closest('#different .names') !== null"):
            break
    keyboard.press("x")
    assert "!=" in question_of(person.url)["filter"]


def test_escape_takes_the_rectangle_away(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    person.drag_heatmap(250)
    person.see("#different")
    person.page.keyboard.press("Escape")
    assert question_of(person.url) == {"since": "3h"}


def test_a_question_mark_shows_the_keys(site: str, opens: Opens) -> None:
    person = opens(site, settled=False)
    person.page.keyboard.press("?")
    person.see("dialog[open] h2", "Keys")
    person.find("dialog button").click()
    assert person.find("dialog[open]").count() == 0


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest, site: str, opens_once: Opens) -> Seen:
    """A window with this view."""
    return Seen(request.param, opens_once(site + VIEWS[request.param]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_meets_no_barrier(view: Seen, theme: str, axe: str) -> None:
    view.turn(theme)
    view.person.page.evaluate(axe)
    found = view.person.page.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440, 2560])
def test_nothing_is_wider_than_the_window(view: Seen, width: int, theme: str) -> None:
    view.turn(theme, width)
    view.person.picture(f"{view.name}-{theme}-{width}", full_page=True)
    assert view.person.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0


def test_every_part_of_a_view_is_also_json_and_csv(view: Seen) -> None:
    links = view.person.page.eval_on_selector_all(".panel .links a", "all => all.map(each => each.href)")
    assert links
    for link in links:
        answer = view.person.page.request.get(link)
        kind = "text/csv" if ".csv" in link else "application/json"
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind), link


def test_counts_of_the_heatmap_are_a_table(site: str, opens: Opens) -> None:
    person = opens(f"{site}?since=3h")
    table: Any = person.find("#heatmap table")
    rows = table.evaluate(
        "it => [...it.tBodies[0].rows].map(row => [...row.cells].slice(1).map(c => +c.textContent.replace(/,/g, '')))"
    )
    heatmap = person.find("chest-heatmap").evaluate(
        "it => it.data.counts.flat().concat(it.data.overflow).reduce((a, b) => a + b, 0)"
    )
    assert sum(map(sum, rows)) == heatmap
