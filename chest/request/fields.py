"""The fields of a row that others fill in, as text that every chest can hold; the mount of an application in its route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from chest.native import agree
from chest.record.record import Outcome
from chest.record.row import KNOWN_METHODS, METHOD_CHARACTERS, code_of, outcome_of_code, utf8_path
from chest.record.text import storable_text
from chest.request.wsgi import WSGIEnvironment, value_in

ROUTE_CHARACTERS: Final = 512
STATUS_CHARACTERS: Final = 128
agree(ROUTE_CHARACTERS=ROUTE_CHARACTERS)
_LARGEST: Final = 2**63 - 1
_name_of: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__


def as_text(value: object) -> str:
    """A value that should be text; the name of its class if it cannot be converted."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the application's `__str__`
        return f"<{class_name(value)}>"


def class_name(value: object) -> str:
    """The name of the value's class, whatever a metaclass makes of it; a name of the application's own kind as plain text."""
    return str.__str__(_name_of(type(value)))


def class_names(value: object) -> set[str]:
    """The names of the value's class and of all that it inherits from."""
    return {str.__str__(_name_of(kind)) for kind in type.mro(type(value))}


def clean_route(route: object) -> str | None:
    """The template of a route."""
    if route is None or (
        type(route) is str and len(route) <= ROUTE_CHARACTERS and route.isascii() and route.isprintable()
    ):
        return route
    return storable_text(as_text(route), ROUTE_CHARACTERS)


def counted_labels(
    method: object, route: str | None, status: object, error: object, outcome: str | None, program: Mapping[str, str]
) -> tuple[str, ...]:
    """What a request is counted under: method, route, status, type of the error, endpoint; "" for a missing one.

    None of them is a request's own word, such as a path, which may be any. As OpenTelemetry has it: an unusual method is ``_OTHER``, and
    an error is one of the server's, which a 404 is not.
    """
    code = code_of(clean_status(status))
    method = storable_text(as_text(method), METHOD_CHARACTERS)
    how = outcome_of_code(code) if outcome is None else outcome
    kind = how if how not in (Outcome.OK, Outcome.ERROR) else ""
    if how == Outcome.ERROR:
        kind = as_text(error) if error is not None else "" if code is None else str(code)
    return (
        method if method in KNOWN_METHODS else "_OTHER",
        route or "",
        "" if code is None else str(code),
        kind,
        program.get("flask.endpoint", ""),
    )


def is_plain(key: Iterable[object]) -> bool:
    """True for texts and None: what the application made otherwise may compare itself as it likes."""
    return all(part is None or type(part) is str for part in key)


def clean_status(status: object) -> str | int | None:
    """A status line, or a code; what the server let pass may be something else."""
    if status is None or (isinstance(status, int) and 0 <= status <= _LARGEST):
        return status
    return storable_text(as_text(status), STATUS_CHARACTERS)


_SCHEMES: Final = ("http", "https")


def scheme_of(environ: WSGIEnvironment) -> str | None:
    """``http`` or ``https``, as the server told; None if it told something else."""
    scheme = value_in(environ, "wsgi.url_scheme")
    return scheme if type(scheme) is str and scheme in _SCHEMES else None


def clean_size(byte_count: int) -> int:
    """A number of bytes; objects that are no bytes may claim any length."""
    return min(byte_count, _LARGEST)


_MOST_MOUNTS: Final = 100
_mounts: Final[dict[str, str]] = {}
"""By ``SCRIPT_NAME``, what stands before a route."""


def mounted(script_name: object, route: str) -> str:
    """The template of a route with the mount of its application before it.

    OpenTelemetry's ``http.route`` has the application's root in it: two applications of one process may have the same rule. A
    route must not have values without end, and ``SCRIPT_NAME`` may (middleware that takes a tenant's name from the path):
    after 100 mounts of a process, further ones are left out. So is one that may hold a secret.

    :param script_name: the request's ``SCRIPT_NAME``, whatever the server made it.
    :param route: the template as the framework knows it, clean.
    """
    if not script_name or type(script_name) is not str:
        return route
    mount = _mounts.get(script_name)
    if mount is None:
        if len(_mounts) >= _MOST_MOUNTS or "=" in script_name or ":" in script_name:
            return route
        mount = _mounts[script_name] = storable_text(utf8_path(script_name), ROUTE_CHARACTERS)
    whole = mount + route
    return whole if len(whole) <= ROUTE_CHARACTERS else storable_text(whole, ROUTE_CHARACTERS)
