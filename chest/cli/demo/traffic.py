"""``Traffic``: several clients that use the shop at once, for a bounded number of requests and a bounded time."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from chest.cli.demo.exchange import Client, Exchange

USERS: Final = ("ada", "grace", "linus", "guido", "barbara", "ken", "edsger", "margaret")
"""One client thread each."""

_STEPS: Final = (
    "home",
    "item",
    "feed",
    "search",
    "cart",
    "item",
    "missing",
    "home",
    "export",
    "item",
    "search",
    "broken",
    "feed",
    "cart",
    "item",
    "leave",
)
"""What the clients do, over and over: fixed, so that every run has every kind of request."""


class Traffic:
    """The clients, in threads of their own; a context manager that starts them, and waits for them at its end.

    :param address: host and TCP port of the shop, which is asked for nothing else.
    :param requests: how many are made in all.
    :param deadline_seconds: after which no further request is begun.
    """

    def __init__(self, address: tuple[str, int], requests: int, deadline_seconds: float = 6.0) -> None:
        self.exchanges: list[Exchange] = []
        self._address = address
        self._deadline_seconds = deadline_seconds
        self._deadline = 0.0
        self._steps: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(requests):
            self._steps.put(number)
        self._is_stopping = threading.Event()
        self._changed = threading.Condition()
        self._streams = threading.Semaphore(len(USERS))
        self._clients: list[Future[None]] = []
        self._threads = ThreadPoolExecutor(len(USERS), thread_name_prefix="client")

    def __enter__(self) -> Traffic:
        self._deadline = time.monotonic() + self._deadline_seconds
        self._clients = [self._threads.submit(self._use_shop, user) for user in USERS]
        for client in self._clients:
            client.add_done_callback(self._notify)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no further request, and wait for those that are on their way.

        :raises Exception: what a client thread did not expect.
        """
        self._is_stopping.set()
        self._threads.shutdown()
        for client in self._clients:
            client.result()

    def wait_for(self, count: int, timeout_seconds: float) -> bool:
        """Wait until ``count`` requests were made or the clients have ended; False when the time is over before."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.exchanges) >= count or self.is_over, timeout_seconds)

    @property
    def is_over(self) -> bool:
        """True if every client has ended."""
        return all(client.done() for client in self._clients)

    def add(self, exchange: Exchange) -> None:
        """Count a request; also one that another client made."""
        with self._changed:
            self.exchanges.append(exchange)
            self._changed.notify_all()

    @contextlib.contextmanager
    def without_streams(self) -> Iterator[None]:
        """A time in which these clients read no streamed response.

        A stream's record is made when the server closes the stream, some microseconds after its last byte. A worker
        killed in just these would have answered a request without a record of it, which Chest cannot prevent.
        """
        with contextlib.ExitStack() as all_streams:
            for _ in USERS:
                all_streams.enter_context(self._streams)
            yield

    def _use_shop(self, user: str) -> None:
        client = Client(self._address, user)
        while not self._is_stopping.is_set() and time.monotonic() < self._deadline:
            try:
                number = self._steps.get_nowait()
            except queue.Empty:
                return
            self.add(self._take_step(client, number))

    def _take_step(self, client: Client, number: int) -> Exchange:
        step = _STEPS[number % len(_STEPS)]
        if step in ("export", "leave"):
            with self._streams:
                return client.send("GET", "/export?rows=200") if step == "export" else client.leave("/export?rows=2000")
        if step == "cart":
            return client.send("POST", "/cart", {"item_ids": [1, number % 8 + 1], "card_number": "4111 1111 1111 1111"})
        path = {"item": f"/items/{number % 8 + 1}", "search": "/search?q=in", "missing": "/nowhere", "home": "/"}.get(
            step
        )
        return client.send("GET", path or f"/{step}", names_request=step not in ("home", "feed"))

    def _notify(self, _: object) -> None:
        with self._changed:
            self._changed.notify_all()
