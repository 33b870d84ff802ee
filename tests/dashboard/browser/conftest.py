"""What the tests of the page in a browser share: Chromium, a served page, and a person who looks at it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chest.chests.registry import open_chest
from tests.dashboard.browser.person import DESKTOP, Person, served
from tests.dashboard.browser.planted import planted_records
from tests.servers.process import is_missing

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(
    scope="module"
)  # it leaves an event loop running in the thread, in which later tests could run no other
def chromium() -> Iterator[Any]:
    """The browser of the system; playwright only drives it."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        is_missing("Chromium", "make servers, or: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a store with six hours of a shop, up to now."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql").new_url())
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/chest.sqlite3"
    records = list(planted_records(time.time_ns()))
    with open_chest(url) as chest:
        for begin in range(0, len(records), 1000):
            chest.write(records[begin : begin + 1000])
    return url


@pytest.fixture(scope="session")
def site(store_url: str) -> Iterator[str]:
    """URL of the page over this store, below a prefix."""
    with served(store_url) as url:
        yield url


Opens = Callable[..., Person]


@pytest.fixture(scope="module")
def profile(chromium: Any) -> Any:
    """What the windows of a module share: the browser's cache, and no more, as the page keeps nothing there."""
    return chromium.new_context(viewport=DESKTOP, color_scheme="light", locale="en-GB")


@contextmanager
def _windows(profile: Any) -> Iterator[Opens]:
    people: list[Person] = []

    def open_url(url: str, **options: Any) -> Person:
        people.append(Person(profile, url, **options))
        return people[-1]

    yield open_url
    for person in people:
        person.close()
    assert [text for person in people for text in person.faults] == []


@pytest.fixture
def opens(profile: Any) -> Iterator[Opens]:
    """Opens a URL in a window of its own. What the security policy refused, and what a script raised, fails the test."""
    with _windows(profile) as opens:
        yield opens


@pytest.fixture(scope="module")
def opens_once(profile: Any) -> Iterator[Opens]:
    """The same, for a window that several tests look at."""
    with _windows(profile) as opens:
        yield opens
