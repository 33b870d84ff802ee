"""The fields of a row that others fill in, whatever they put there, as text that every chest can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chest.text import text

ROUTE_CHARACTERS: Final = 512
STATUS_CHARACTERS: Final = 128
_LARGEST: Final = 2**63 - 1
_name_of: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__


def as_text(value: object) -> str:
    """A value that should be text; its class where it cannot be made one."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the application's `__str__`
        return f"<{class_name(value)}>"


def class_name(value: object) -> str:
    """The name of the value's class, whatever a metaclass makes of it."""
    return _name_of(type(value))


def clean_route(route: object) -> str | None:
    """The template of a route."""
    if route is None or (
        type(route) is str and len(route) <= ROUTE_CHARACTERS and route.isascii() and route.isprintable()
    ):
        return route
    return text(as_text(route), ROUTE_CHARACTERS)


def clean_status(status: object) -> str | int | None:
    """A status line, or a code; what the server let pass may be something else."""
    if status is None or (isinstance(status, int) and 0 <= status <= _LARGEST):
        return status
    return text(as_text(status), STATUS_CHARACTERS)


def clean_size(byte_count: int) -> int:
    """A number of bytes; objects that are no bytes may claim any length."""
    return min(byte_count, _LARGEST)
