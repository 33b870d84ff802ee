"""From a chest URL to a chest: the schemes in one table, guests by entry point, drivers loaded on use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, NoReturn, TypeAlias
from urllib.parse import unquote

from chest.chests.contract import Chest
from chest.errors import ChestUnavailable, MissingDependencyError, SettingsError
from chest.record.record import Record
from chest.settings.chest_urls import BUILTIN, guests, scheme_of, schemes
from chest.settings.option import nearest

__all__ = [
    "GivenChests",
    "UnusableChest",
    "builtin_factory",
    "open_chest",
    "refuse_ambiguous_login",
    "safe_url",
    "shown_login",
    "sqlite_url",
    "variables_chest",
    "variables_source",
]

ChestFactory: TypeAlias = Callable[[str], Chest]
"""Takes a chest URL and gives a chest that has connected to nothing yet; a class with such a constructor is one."""

_VARIABLES: Final = {
    "sqlite": (
        "chest.chests.sql.sqlite.variables:SQLiteVariables",
        "chest.chests.sql.sqlite.variables:SQLiteVariablesSource",
    ),
}
"""Of a scheme, the chest of one row a variable, and the same to be read."""
_SERVER_VARIABLES: Final = (
    "chest.chests.sql.variables:VariablesChest",
    "chest.chests.sql.variables_source:VariablesSource",
)

_HTTP: Final = ("http", "https")
_KEY_BEFORE_HOST: Final = (*_HTTP, "influxdb", "influxdb+https", "nats", "nats+tls", "otlp", "otlp+https")
"""A name before the host would be a key; and a path or an option may hold an "@"."""
_PARAMETER: Final = re.compile(r"([^?&;#=]+)=([^&]*)")
# A password without its host: it stands where the port would, and is not a number.
_BAD_PORT: Final = re.compile(r"(\A[^/:\[]+:)(?!\d*(?:[/,]|\Z))[^/]+")
_ADDRESS = re.compile(r"(\[.*\]|[^:]*)(:\d+)?")


def open_chest(url: str) -> Chest:
    """The chest that a URL names; it connects when it is first used.

    :param url: such as ``sqlite:///chest.sqlite3``; what may follow ``?`` stands in the docstring of the chest.
    :raises SettingsError: no URL, an unknown scheme, or an invalid option of the URL.
    :raises MissingDependencyError: the chest's driver is not installed.
    """
    scheme = _scheme_of(url)
    if scheme in BUILTIN:
        return builtin_factory(scheme)(url)
    for guest in guests(scheme):
        factory: ChestFactory = guest.load()
        return factory(url)
    raise SettingsError(_unknown_scheme(scheme))


class GivenChests:
    """The chests of a task, given as chests or as URLs: the latter are its own, and it closes no other."""

    def __init__(self) -> None:
        self._own: list[Chest] = []

    def chest(self, given: str | Chest) -> Chest:
        """The chest itself, or the one that the URL names."""
        if isinstance(given, Chest):
            return given
        made = open_chest(given)
        self._own.append(made)
        return made

    def close(self) -> None:
        """Let go of those that were given as URLs; the next use opens them again."""
        for chest in self._own:
            chest.close()


def safe_url(url: str) -> str:
    """The URL for messages and logs: a password, and the values of parameters that sound secret, become ``***``.

    A password may hold what a URL should not, such as ``/`` or ``?``; rather too much is masked than too little.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        is_ours = url.partition(":")[0].lower() in BUILTIN and url.count(":") == 1
        if "@" in url and not is_ours:  # no URL: a "/" or a ":" is missing
            return f"***@{url.rpartition('@')[2]}"
        scheme, rest = "", url
    is_login, _ = _login_of(scheme, rest)
    login, _, address = rest.rpartition("@") if mark and is_login else ("", "", rest)
    if login:
        mark = f"://{shown_login(scheme, login)}"
    address, question, parameters = address.partition("?")
    address, mark_of_fragment, fragment = address.partition("#")
    parts = _PARAMETER.sub(_safe_parameter, f"{mark_of_fragment}{fragment}{question}{parameters}")
    return scheme + mark + (_BAD_PORT.sub(r"\1***", address) if mark else address) + parts


def shown_login(scheme: str, login: str) -> str:
    """What stands before the ``@`` of a URL, for messages, with the ``@``: the password becomes ``***``; "" without a log-in.

    :param login: as it stands in the URL: ``user:password``, ``user``, or "".
    """
    if not login:
        return ""
    user, colon, _ = login.partition(":")
    # Of an HTTP service a name without a password is its key.
    return (f"{user}:***" if colon else "***" if scheme.lower() in _KEY_BEFORE_HOST else user) + "@"


def refuse_ambiguous_login(url: str) -> None:
    """Refuse a URL of which a password's end could be taken for the host's name: it would stand in every message.

    :param url: of a chest on a server.
    :raises SettingsError: a character of the user name or password means something else in a URL.
    """
    scheme, mark, rest = url.partition("://")
    _, is_ambiguous = _login_of(scheme, rest)
    if mark and is_ambiguous:
        raise SettingsError(
            f"The user name or password of this {scheme}: URL holds a character that means something else there."
            " Write it as its %-code: @ is %40, / is %2F, ? is %3F, # is %23, : is %3A, % is %25."
        )


def _login_of(scheme: str, rest: str) -> tuple[bool, bool]:
    """Whether a URL has a user name before its host, and whether that could end in more than one place."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return True, rest.count("@") > 1
    has_address = not authority or (scheme.lower() in _KEY_BEFORE_HOST and _ADDRESS.fullmatch(authority) is not None)
    may_go_on = "@" in rest and not has_address
    return may_go_on, may_go_on


def sqlite_url(path: Path) -> str:
    """The URL of the chest in this SQLite file."""
    # Only what would end the path or be taken for a code: the URL is shown to people.
    return f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F")


def _safe_parameter(parameter: re.Match[str]) -> str:
    # As in chest/record/messages.py; few URLs have a parameter.
    from chest.record.secret_names import is_secret_parameter
    from chest.record.secret_text import without_secrets

    name, value = parameter.groups()
    is_secret = is_secret_parameter(unquote(name)) or without_secrets(value, is_secret_parameter) != value
    return f"{name}=***" if is_secret else parameter[0]


def _scheme_of(url: str) -> str:
    scheme = scheme_of(url)
    if scheme is None:
        raise SettingsError(
            f"{safe_url(url)!r} is not a chest URL: write a scheme first, such as sqlite:///chest.sqlite3."
        )
    return scheme


def builtin_factory(scheme: str) -> Callable[..., Chest]:
    """The class behind one of Chest's own schemes, for a caller that needs more than a URL can say.

    :raises MissingDependencyError: the chest's driver is not installed.
    """
    with _naming_what_to_install(scheme):
        factory: Callable[..., Chest] = resolve_name(BUILTIN[scheme].factory)
    return factory


def variables_chest(url: str) -> Chest:
    """The chest that keeps variables, one row each, in the SQL database that a URL names.

    :raises SettingsError: invalid chest URL.
    :raises MissingDependencyError: the database's driver is not installed.
    """
    return _of_variables(url, is_read=False)


def variables_source(url: str) -> Chest:
    """The same to be read: each row as a record, for what exports it. Raises as :func:`variables_chest`."""
    return _of_variables(url, is_read=True)


def _of_variables(url: str, *, is_read: bool) -> Chest:
    scheme = _scheme_of(url)
    if scheme not in BUILTIN:
        raise SettingsError(_unknown_scheme(scheme))
    with _naming_what_to_install(scheme):
        factory: ChestFactory = resolve_name(_VARIABLES.get(scheme, _SERVER_VARIABLES)[is_read])
        return factory(url)


@contextmanager
def _naming_what_to_install(scheme: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"The {scheme} chest needs the package {error.name}: pip install {BUILTIN[scheme].requirement!r}"
        raise MissingDependencyError(message) from error
    except MissingDependencyError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"The {scheme} chest cannot be loaded: {error}. If the applications of this process have an interpreter each,"
            " give them one (uWSGI: single-interpreter; mod_wsgi: WSGIApplicationGroup %{GLOBAL}) or a process each."
        ) from error


def _unknown_scheme(scheme: str) -> str:
    known = schemes()
    near = nearest(scheme, known) or nearest(scheme.partition("+")[0], known)
    hint = f" Did you mean {near}:?" if near else ""
    return f"No chest has the scheme {scheme}:.{hint} There are: {', '.join(known)}."


class UnusableChest(Chest):
    """Takes nothing, so that records wait in the ring and the reason is logged and counted like any store's failure.

    :param reason: what is wrong, and what to do about it; holds no secret.
    :param name: the label of the chest that it stands for, which finds what was spooled meanwhile.
    """

    def __init__(self, reason: str, name: str) -> None:
        self.name = name
        self._reason = reason

    def open(self) -> None:
        self._refuse()

    def write(self, records: Sequence[Record]) -> None:
        self._refuse()

    def check(self) -> None:
        self._refuse()

    def wait_at_most(self, seconds: float) -> bool:
        return True  # it waits for nothing

    def close(self) -> None: ...

    def _refuse(self) -> NoReturn:
        raise ChestUnavailable(self._reason)
