"""From a chest URL to a chest: the schemes in one table, guests by entry point, drivers loaded on use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, NamedTuple, TypeAlias

from chest.chests.base import Chest
from chest.errors import MissingDependencyError, SettingsError

__all__ = [
    "ENTRY_POINT_GROUP",
    "builtin_factory",
    "open_chest",
    "safe_url",
    "schemes",
    "sounds_secret",
    "sqlite_url",
    "variables_chest",
    "variables_source",
]

ChestFactory: TypeAlias = Callable[[str], Chest]
"""Takes a chest URL and gives a chest that has connected to nothing yet; a class with such a constructor is one."""

ENTRY_POINT_GROUP: Final = "chest.chests"
"""Where other packages announce their chests: the entry point's name is the scheme, its object a factory."""


class _Builtin(NamedTuple):
    """Where the factory of a scheme is found, and what to install for it."""

    factory: str
    requirement: str


_BUILTIN: Final = {
    "http": _Builtin("chest.chests.http:HttpChest", "wsgi-chest[http]"),
    "https": _Builtin("chest.chests.http:HttpChest", "wsgi-chest[http]"),
    "influxdb": _Builtin("chest.chests.influx:InfluxChest", "wsgi-chest[influx]"),
    "influxdb+https": _Builtin("chest.chests.influx:InfluxChest", "wsgi-chest[influx]"),
    "log": _Builtin("chest.chests.log:LogChest", "wsgi-chest"),
    "mariadb": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "memory": _Builtin("chest.chests.memory:MemoryChest", "wsgi-chest"),
    "mongodb": _Builtin("chest.chests.mongo:MongoChest", "wsgi-chest[mongo]"),
    "mongodb+srv": _Builtin("chest.chests.mongo:MongoChest", "wsgi-chest[mongo]"),
    "mysql": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "mysql+pymysql": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "ndjson": _Builtin("chest.chests.ndjson:NdjsonChest", "wsgi-chest"),
    "postgres": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "postgresql": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "postgresql+psycopg": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest[sql]"),
    "sqlite": _Builtin("chest.chests.sql:SQLChest", "wsgi-chest"),
}

_VARIABLES_FACTORY: Final = "chest.chests.sql_variables:VariablesChest"
_VARIABLES_SOURCE: Final = "chest.chests.sql_variables_source:VariablesSource"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SECRET_NAME = re.compile(
    r"token|secret|password|passwd|pwd|passphrase|api[_-]?key|signature|credential|^(key|sig|auth)$", re.I
)


def open_chest(url: str) -> Chest:
    """The chest that a URL names; it connects when it is first used.

    :param url: such as ``sqlite:///chest.sqlite3``; what may follow ``?`` stands in the docstring of the chest.
    :raises SettingsError: no URL, a scheme nobody knows, or an option of the URL that cannot be meant.
    :raises MissingDependencyError: the chest's driver is not installed.
    """
    scheme = _scheme_of(url)
    if scheme in _BUILTIN:
        return builtin_factory(scheme)(url)
    for guest in entry_points(group=ENTRY_POINT_GROUP, name=scheme):
        factory: ChestFactory = guest.load()
        return factory(url)
    raise SettingsError(_unknown_scheme(scheme))


def schemes() -> list[str]:
    """The scheme of every chest that is there, ours and those of guests."""
    return sorted({*_BUILTIN, *(guest.name for guest in entry_points(group=ENTRY_POINT_GROUP))})


def safe_url(url: str) -> str:
    """The URL for messages and logs: a password, and the values of parameters that sound secret, become ``***``.

    A password may hold what a URL should not, such as ``/`` or ``?``; rather too much is masked than too little.
    """
    address, mark, parameters = url.partition("?")
    if mark and "@" not in address and "@" in parameters:
        address, mark, parameters = url, "", ""
    address = re.sub(r"^([^:/]+://[^:/@]*):.*@", r"\1:***@", address, flags=re.DOTALL)
    # Of an HTTP service a name without a password is its key.
    address = re.sub(r"^(https?://)[^:/@]+@", r"\1***@", address, flags=re.IGNORECASE)
    return address + mark + "&".join(_safe_parameter(parameter) for parameter in parameters.split("&"))


def sounds_secret(name: str) -> bool:
    """Whether the value of a URL's parameter or a header of this name is not to be shown."""
    return _SECRET_NAME.search(name) is not None


def sqlite_url(path: Path) -> str:
    """The URL of the chest in this SQLite file."""
    # Only what would end the path or be taken for a code: the URL is shown to people.
    return f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F")


def _safe_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}=***" if equals and sounds_secret(name) else parameter


def _scheme_of(url: str) -> str:
    match = _SCHEME.match(url)
    if match is None:
        raise SettingsError(
            f"{safe_url(url)!r} is no chest URL: write a scheme first, such as sqlite:///chest.sqlite3."
        )
    return match[1].lower()


def builtin_factory(scheme: str) -> Callable[..., Chest]:
    """The class behind one of Chest's own schemes, for whoever needs more than a URL can say.

    :raises MissingDependencyError: the chest's driver is not installed.
    """
    with _naming_what_to_install(scheme):
        factory: Callable[..., Chest] = resolve_name(_BUILTIN[scheme].factory)
    return factory


def variables_chest(url: str) -> Chest:
    """The chest that keeps variables, one row each, in the SQL database that a URL names.

    :raises SettingsError: no such URL can be meant.
    :raises MissingDependencyError: the database's driver is not installed.
    """
    return _of_variables(url, _VARIABLES_FACTORY)


def variables_source(url: str) -> Chest:
    """The same to be read: each row as a record, for what exports it. Raises as :func:`variables_chest`."""
    return _of_variables(url, _VARIABLES_SOURCE)


def _of_variables(url: str, path: str) -> Chest:
    scheme = _scheme_of(url)
    if scheme not in _BUILTIN:
        raise SettingsError(_unknown_scheme(scheme))
    with _naming_what_to_install(scheme):
        factory: ChestFactory = resolve_name(path)
        return factory(url)


@contextmanager
def _naming_what_to_install(scheme: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"The {scheme} chest needs the package {error.name}: pip install {_BUILTIN[scheme].requirement!r}"
        raise MissingDependencyError(message) from error


def _unknown_scheme(scheme: str) -> str:
    known = schemes()
    nearest = next(
        filter(None, (difflib.get_close_matches(each, known, n=1) for each in (scheme, scheme.partition("+")[0]))), []
    )
    hint = f" Did you mean {nearest[0]}:?" if nearest else ""
    return f"No chest has the scheme {scheme}:.{hint} There are: {', '.join(known)}."
