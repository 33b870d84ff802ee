"""``Person``: a user of the page; ``served``: the page on a port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import shift_path_info

from chest.chests.contract import ReadableChest
from chest.dashboard import ChestPage
from tests.processes import ROOT

PATIENCE_MS: Final = 60_000
DESKTOP: Final = {"width": 1440, "height": 1000}
PICTURES: Final = ROOT / "build" / "page"
"""Where screenshots are kept, to be looked at."""
_POLICY: Final = ("Content Security Policy", "TrustedHTML", "TrustedScript", "Trusted Type")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that gave up a question is no news."""


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(source: ReadableChest | str, **options: Any) -> Iterator[str]:
    """The page of this chest, at ``/seen/``; gives its URL."""
    with serving(ChestPage(source, allow="everybody", **{"seconds": 8, **options})) as url:
        yield url


@contextmanager
def serving(page: ChestPage, *, knows_prefix: bool = True) -> Iterator[str]:
    """This page, at ``/seen/``; gives its URL.

    :param knows_prefix: false: as behind a proxy that takes the prefix away.
    """

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith("/seen"):
            shift_path_info(environ)
            environ["SCRIPT_NAME"] = environ["SCRIPT_NAME"] if knows_prefix else ""
            return page(environ, start_response)
        start_response("404 Not Found", [("Content-Length", "0")])
        return []

    server = make_server("127.0.0.1", 0, application, _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/seen/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        page.close()


class Person:
    """Opens a URL in a window, and does there what people do.

    :param profile: a context of the browser.
    :param settled: wait for all answers.
    :param before: called with the window before it opens the URL.
    """

    def __init__(
        self, profile: Any, url: str, *, width: int = DESKTOP["width"], settled: bool = True, before: Any = None
    ) -> None:
        self.page = profile.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.resize(width)
        self.faults: list[str] = []
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        if before:
            before(self.page)
        self.page.goto(url)
        if settled:
            self.settle()

    def resize(self, width: int) -> None:
        """Make the window so wide."""
        if self.page.viewport_size["width"] != width:
            self.page.set_viewport_size({**DESKTOP, "width": width})

    def settle(self) -> None:
        """Wait until every question is answered."""
        self.page.wait_for_selector("main .panel")
        self.page.wait_for_selector('main [aria-busy="true"]', state="detached", timeout=2 * PATIENCE_MS)

    def find(self, selector: str, text: str | None = None) -> Any:
        """What the page shows there."""
        return self.page.locator(selector, has_text=text) if text else self.page.locator(selector)

    def see(self, selector: str, text: str | None = None) -> None:
        """Wait until this is there, and can be seen."""
        self.find(selector, text).first.wait_for(state="visible")

    def ask(self, text: str) -> None:
        """Type this into the box."""
        self.page.keyboard.press("/")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")
        self.settle()

    def drag(self, from_x: float, from_y: float, to_x: float, to_y: float) -> None:
        """With the mouse, from here to there."""
        mouse = self.page.mouse
        mouse.move(from_x, from_y)
        mouse.down()
        mouse.move((from_x + to_x) / 2, (from_y + to_y) / 2)
        mouse.move(to_x, to_y)
        mouse.up()

    def drag_heatmap(self, low_ms: float, from_share: float = 0.0) -> None:
        """A rectangle over all that is slower, and began in the later part of the range."""
        heatmap = self.find("chest-heatmap")
        heatmap.scroll_into_view_if_needed()
        box = heatmap.bounding_box()
        y = heatmap.evaluate("(it, low) => it.grid.yOf(low)", low_ms)
        left, right = heatmap.evaluate("it => [it.grid.left, it.grid.right]")
        begin = left + (right - left) * from_share
        self.drag(box["x"] + begin + 2, box["y"] + y, box["x"] + right - 2, box["y"] + 20)

    @property
    def url(self) -> str:
        """What stands in the address bar."""
        return str(self.page.evaluate("location.href"))  # page.url learns of it later

    def picture(self, name: str, **options: Any) -> None:
        """Keep a screenshot."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", **options)

    def close(self) -> None:
        """Close the window."""
        self.page.close()

    def _hear(self, text: str) -> None:
        if any(word in text for word in _POLICY):
            self.faults.append(text)
