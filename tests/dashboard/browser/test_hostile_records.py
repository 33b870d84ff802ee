"""What requests brought is shown, and does nothing: HTML, control characters, 10 KB, right to left, 10,000 variables."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from chest.chests.memory import MemoryChest
from chest.testing import make_record
from tests.dashboard.browser.conftest import Opens
from tests.dashboard.browser.person import served

HTML = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\'"`${window.harmed=1}'
RIGHT_TO_LEFT = "\u202eexe.gpj \u05e9\u05dc\u05d5\u05dd"
ANSI = "\x1b[31mred\x1b[0m\x07\x00"
LONG = "long" * 2500
HOSTILE = {
    "html": HTML,
    "right": RIGHT_TO_LEFT,
    "ansi": ANSI.replace("\x00", ""),
    "long": LONG,
    "unbroken": "x" * 10_000,
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    chest = MemoryChest()
    now = time.time_ns()
    chest.write(
        [
            make_record(
                request_id=f"{name}-1",
                time_ns=now - (place + 1) * 60 * 10**9,
                path=f"/{value}",
                route=value,
                error=value[:200],
                outcome="error",
                release=value[:100],
                host=value[:100],
                variables={"value": value, value[:300]: value, "nested": {value[:100]: [value]}},
                attributes={"note": value},
                duration_ns=(place + 1) * 10_000_000,
            )
            for place, (name, value) in enumerate(HOSTILE.items())
        ]
        + [make_record(request_id="many-1", time_ns=now - 10**9, variables={f"variable_{n}": n for n in range(10_000)})]
        + [
            make_record(
                request_id="javascript-1",
                path="javascript:window.harmed=1",
                variables={"url": "javascript:window.harmed=1"},
            )
        ]
    )
    with served(chest) as url:
        yield url


@pytest.mark.parametrize("name", [*HOSTILE, "many", "javascript"])
def test_a_hostile_record_is_shown_and_does_nothing(name: str, site: str, opens: Opens) -> None:
    person = opens(f"{site}record/{name}-1", width=800)
    person.see("#record .facts")
    assert person.page.evaluate("() => window.harmed") is None
    assert person.page.evaluate("() => document.querySelectorAll('#record img, #record script').length") == 0
    assert person.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert person.page.evaluate("() => document.querySelectorAll('a[href^=\"javascript\"]').length") == 0
    curl = shlex.split(person.find(".copies button", "curl").get_attribute("data-text"))
    assert curl[0] == "curl"
    assert curl[-1].startswith("http://"), "a shell takes the whole URL for one word"
    assert len(curl) == curl.index("-H") + 3


def test_explore_shows_hostile_values_as_text(site: str, opens: Opens) -> None:
    person = opens(site, width=800)
    assert HTML in person.find("#top tbody").inner_text()
    person.find("#top button.value", "onerror").first.hover()
    person.settle()
    person.find("#top button.value", "onerror").first.click()
    person.settle()
    assert person.find("#records tbody tr").count() == 1, "a value that is quoted in the filter finds its record"
    assert person.page.evaluate("() => window.harmed") is None
    assert person.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0


def test_ten_thousand_variables_leave_the_page_usable(site: str, opens: Opens) -> None:
    person = opens(site, width=800)
    person.find("#wanted").fill("variable_9999")
    person.see("#distributions h3", "variable_9999")
    assert person.page.evaluate("() => document.querySelectorAll('*').length") < 6000


def test_new_shows_hostile_values_as_text(site: str, opens: Opens) -> None:
    person = opens(f"{site}new")
    assert person.page.evaluate("() => window.harmed") is None
