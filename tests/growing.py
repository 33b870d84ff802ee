"""Requests that each bring something new, and how much memory that costs the process."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from chest import ChestMiddleware
from chest.chests.memory import MemoryChest
from chest.record.record import Record

COUNT: Final = 100_000
FIRST: Final = 20_000
"""More than whatever is remembered by a bounded number, and enough for an allocator to have what it needs."""
_SETTLED_EVERY: Final = 2000


class ForgetfulChest(MemoryChest):
    """Takes everything and keeps nothing."""

    taken = 0

    def write(self, records: Sequence[Record]) -> None:
        self.taken += len(records)


class Growth(NamedTuple):
    """What so many requests have left."""

    grown_bytes: int
    taken: int
    stats: dict[str, Any]


class Chosen(Exception):
    """The base of whatever an application raises."""


def name_variables(context: Any, number: int) -> None:
    context[f"name-{number}"] = {f"key-{number}": number}
    context.attributes[f"attribute-{number}"] = number


def set_values(context: Any, number: int) -> None:
    context["user_id"] = f"user-{number}"
    context.route = f"/route-{number}"


def raise_errors(context: Any, number: int) -> None:
    raise type(f"Error{number}", (Chosen,), {})(f"message {number}")


def tell_errors(context: Any, number: int) -> None:
    context.record_error(type(f"Error{number}", (Chosen,), {})(f"message {number}"))


def say_nothing(context: Any, number: int) -> None:
    pass


CHOICES: Final[dict[str, tuple[Callable[..., None], dict[str, str]]]] = {
    "names of variables": (name_variables, {}),
    "values": (set_values, {}),
    "request ids": (say_nothing, {"HTTP_X_REQUEST_ID": "id-{}"}),
    "request ids that are refused": (say_nothing, {"HTTP_X_REQUEST_ID": "an id\r\nSet-Cookie: a={}"}),
    "paths, methods and traces": (
        say_nothing,
        {"PATH_INFO": "/path=/{}", "REQUEST_METHOD": "M{}", "HTTP_TRACEPARENT": "00-{:032x}-00f067aa0ba902b7-01"},
    ),
    "classes of errors that are raised": (raise_errors, {}),
    "classes of errors that are handled": (tell_errors, {}),
}


def growth_of(choice: str, directory: Path) -> Growth:
    """By how much this process grows over ``COUNT`` requests, after as many as fill what has a bound."""
    say, headers = CHOICES[choice]
    chest = ForgetfulChest()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        say(environ["chest.context"], environ["number"])
        return [b"x"]

    middleware = ChestMiddleware(app, chests=[chest], directory=directory, service="shop", ring_bytes=4 << 20)

    def repeat(begin: int, end: int) -> None:
        for number in range(begin, end):
            environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "number": number}
            environ |= {name: value.format(number + 1) for name, value in headers.items()}
            try:
                middleware(environ, lambda *_: lambda data: None)
            except Chosen:
                pass
            if not number % _SETTLED_EVERY:
                middleware.recorder.flush(30)
        middleware.recorder.flush(30)
        gc.collect()

    repeat(0, FIRST)
    before = _resident_bytes()
    repeat(FIRST, FIRST + COUNT)
    growth = Growth(_resident_bytes() - before, chest.taken, middleware.recorder.stats())
    middleware.recorder.close()
    return growth


def _resident_bytes() -> int:
    """Of this process's own memory: without files, so without the ring."""
    [kilobytes] = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024
