"""What a chest URL is: the schemes of Chest's own chests in one table, those of guests by entry point.

The options, the commands and the registry all ask here. Nothing in the table is imported before a chest is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["BUILTIN", "ENTRY_POINT_GROUP", "chest_urls_of", "guests", "is_chest_url", "scheme_of", "schemes"]

ENTRY_POINT_GROUP: Final = "chest.chests"
"""The entry-point group in which other packages announce their chests: the name is the scheme, the object a factory."""


class _Builtin(NamedTuple):
    """The place of a scheme's factory, and what to install for it."""

    factory: str
    requirement: str


BUILTIN: Final = {
    "clickhouse": _Builtin("chest.chests.clickhouse.chest:ClickHouseChest", "wsgi-chest[clickhouse]"),
    "clickhouse+https": _Builtin("chest.chests.clickhouse.chest:ClickHouseChest", "wsgi-chest[clickhouse]"),
    "http": _Builtin("chest.chests.http.chest:HttpChest", "wsgi-chest[http]"),
    "https": _Builtin("chest.chests.http.chest:HttpChest", "wsgi-chest[http]"),
    "influxdb": _Builtin("chest.chests.influxdb.chest:InfluxChest", "wsgi-chest[influx]"),
    "influxdb+https": _Builtin("chest.chests.influxdb.chest:InfluxChest", "wsgi-chest[influx]"),
    "kafka": _Builtin("chest.chests.kafka.chest:KafkaChest", "wsgi-chest[kafka]"),
    "kafka+ssl": _Builtin("chest.chests.kafka.chest:KafkaChest", "wsgi-chest[kafka]"),
    "log": _Builtin("chest.chests.log:LogChest", "wsgi-chest"),
    "mariadb": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "mariadb+pymysql": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "memory": _Builtin("chest.chests.memory:MemoryChest", "wsgi-chest"),
    "mongodb": _Builtin("chest.chests.mongodb.chest:MongoChest", "wsgi-chest[mongo]"),
    "mongodb+srv": _Builtin("chest.chests.mongodb.chest:MongoChest", "wsgi-chest[mongo]"),
    "mysql": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "mysql+pymysql": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "nats": _Builtin("chest.chests.nats.chest:NatsChest", "wsgi-chest[nats]"),
    "nats+tls": _Builtin("chest.chests.nats.chest:NatsChest", "wsgi-chest[nats]"),
    "ndjson": _Builtin("chest.chests.ndjson.chest:NdjsonChest", "wsgi-chest"),
    "otlp": _Builtin("chest.chests.otlp.chest:OtlpChest", "wsgi-chest[otlp]"),
    "otlp+https": _Builtin("chest.chests.otlp.chest:OtlpChest", "wsgi-chest[otlp]"),
    "postgres": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "postgresql": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "postgresql+psycopg": _Builtin("chest.chests.sql.chest:SQLChest", "wsgi-chest[sql]"),
    "sqlite": _Builtin("chest.chests.sql.sqlite.chest:SQLiteChest", "wsgi-chest"),
}
"""The factory of each scheme, as ``module:name``."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORT: Final = re.compile(r"[0-9]+(?=[/?,\s]|\Z)")


def scheme_of(text: str) -> str | None:
    """The scheme that the text begins with, in lower case; None if it begins with none."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


def guests(scheme: str) -> EntryPoints:
    """The entry points under which other packages announce chests of this scheme."""
    return _announced().select(name=scheme)


def schemes() -> list[str]:
    """The scheme of every chest that is there, ours and those of guests."""
    return sorted({*BUILTIN, *(guest.name for guest in _announced())})


def _announced() -> EntryPoints:
    from importlib.metadata import entry_points  # with email and zipfile behind it, and seldom needed

    return entry_points(group=ENTRY_POINT_GROUP)


def is_chest_url(text: str) -> bool:
    """True for ``scheme://…``, and for ``scheme:…`` if a chest has this scheme.

    So a mistyped scheme before ``://`` is refused when the chest is opened, with the nearest scheme there is.
    """
    scheme = scheme_of(text)
    if scheme is None:
        return False
    is_known = scheme in BUILTIN or text.startswith("://", len(scheme))
    return is_known or bool(guests(scheme))


def chest_urls_of(text: str) -> list[str]:
    """The chest URLs in a text, separated by whitespace, or by a comma if another URL begins behind it.

    A comma inside a URL is legal, and a host may be called like a scheme: ``mongodb://mongodb:27017,log:27017/shop``.
    """
    urls: list[str] = []
    for word in text.split():
        first, *others = word.split(",")
        urls.append(first)
        for piece in others:
            if _begins_url(piece):
                urls.append(piece)
            else:
                urls[-1] += f",{piece}"
    return [url for each in urls if (url := each.strip(","))]


def _begins_url(text: str) -> bool:
    scheme = _SCHEME.match(text)
    return scheme is not None and not _PORT.match(text, scheme.end()) and is_chest_url(text)
