"""``MongoTarget``: what the URL of a MongoDB chest says, checked: the servers, the database, the collection, the options."""

from __future__ import annotations

import re
import warnings
from datetime import UTC
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, unquote, unquote_plus

from pymongo import MongoClient
from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import PyMongoError

from chest.chests.registry import refuse_ambiguous_login, safe_url, shown_login
from chest.chests.url_options import (
    SECONDS_A_DAY,
    has_request_id_index_of,
    refuse_unknown,
    timeout_seconds_of,
    ttl_days_of,
)
from chest.errors import SettingsError
from chest.record.messages import masked
from chest.record.secret_names import is_secret_parameter

DEFAULT_COLLECTION: Final = "chest_records"
_CONNECT_SECONDS: Final = 5.0
"""Of a host that drops packets nothing more is heard: waiting longer only keeps the other chests waiting."""
_SELECTION_SECONDS: Final = 3.0
"""The driver waits that long for a server that takes writes, even if all refuse connections: as long as an application
that ends waits for its records."""
_MOST_TTL_DAYS: Final = (2**31 - 1) // SECONDS_A_DAY
_OPTIONS: Final = ("collection", "index", "timeout_seconds", "ttl_days")
_COLLECTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_DRIVER_TIMEOUTS: Final = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")


class MongoTarget(NamedTuple):
    """Where a MongoDB chest writes."""

    name: str
    """A label for messages, without secrets."""
    url: str
    """The URL without the options that are the chest's own: what the driver is given."""
    database: str
    collection: str
    ttl_seconds: int | None
    has_request_id_index: bool
    timeout_seconds: float
    driver_timeouts: dict[str, Any]
    """The driver's timeouts in milliseconds, but for those that the URL gives."""
    secrets: tuple[str, ...]
    """Texts of the URL that no message may hold."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        refuse_ambiguous_login(text)
        place, _, query = text.partition("?")
        scheme, _, address = place.partition("://")
        hosts_and_login, _, path = address.partition("/")
        login, _, hosts = hosts_and_login.rpartition("@")
        if not hosts or "@" in path or "@" in query or "#" in text:
            raise SettingsError(_no_url(text))
        pairs = [pair for pair in query.split("&") if pair]
        _refuse_unknown(pairs)
        own = dict(_pair(pair) for pair in pairs if _pair(pair)[0] in _OPTIONS)
        others = [pair for pair in pairs if _pair(pair)[0] not in _OPTIONS]
        database = unquote(path)
        if not database or any(character in database for character in '/\\. "$\0'):
            raise SettingsError(_no_url(text))
        collection = own.get("collection", DEFAULT_COLLECTION)
        if not _COLLECTION.fullmatch(collection) or collection.startswith("system."):
            raise SettingsError(f"?collection={collection!r}: a name of letters, digits, _, - and dots, at most 100.")
        timeout_seconds = timeout_seconds_of(own.get("timeout_seconds"))
        ttl_days = ttl_days_of(own.get("ttl_days"), _MOST_TTL_DAYS)
        target = cls(
            name=_label(scheme, login, hosts, database, collection),
            url=f"{scheme.lower()}://{hosts_and_login}/{quote(database)}" + ("?" + "&".join(others) if others else ""),
            database=database,
            collection=collection,
            ttl_seconds=None if ttl_days is None else round(ttl_days * SECONDS_A_DAY),
            has_request_id_index=has_request_id_index_of(own.get("index")),
            timeout_seconds=timeout_seconds,
            driver_timeouts=_driver_timeouts(others, timeout_seconds),
            secrets=_secrets(login, others),
        )
        target._refuse_what_the_driver_refuses()
        return target

    def new_client(self) -> MongoClient[dict[str, Any]]:
        """A client that has connected to nothing yet."""
        return MongoClient(self.url, connect=False, appname="chest", tz_aware=True, tzinfo=UTC, **self.driver_timeouts)

    def without_secrets(self, text: str) -> str:
        """The text for a message."""
        return masked(text, self.secrets)

    def _refuse_what_the_driver_refuses(self) -> None:
        """Of a value that it cannot use, the driver only warns."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                client = self.new_client()
        except (PyMongoError, ValueError, TypeError, OSError, Warning) as error:
            raise SettingsError(f"{self.name}: {self.without_secrets(str(error)).rstrip('.')}.") from None
        is_acknowledged = client.write_concern.acknowledged
        client.close()
        if not is_acknowledged:
            raise SettingsError(
                f"{self.name}: with w=0 a record can be lost without a sign: leave it out, or write w=1."
            )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _no_url(text: str) -> str:
    return (
        f"{safe_url(text)!r} names no database: write mongodb://host:27017/database, or mongodb+srv://; a character of a"
        " name or password that has a meaning in URLs is written as its %-code."
    )


def _label(scheme: str, login: str, hosts: str, database: str, collection: str) -> str:
    shown_collection = "" if collection == DEFAULT_COLLECTION else f"?collection={collection}"
    return f"{scheme}://{shown_login(scheme, login)}{hosts}/{database}{shown_collection}"


def _secrets(login: str, options: list[str]) -> tuple[str, ...]:
    password = login.partition(":")[2]
    values = [
        value for name, value in map(_pair, options) if is_secret_parameter(name) or name.lower().startswith("authmech")
    ]
    parts = [part.partition(":")[2] for value in values for part in value.split(",")]
    found = {text for secret in (password, *values, *parts) for text in (secret, unquote_plus(secret)) if text}
    return tuple(sorted(found, key=len, reverse=True))


def _driver_timeouts(options: list[str], timeout_seconds: float) -> dict[str, Any]:
    """What the URL leaves open, or would have be endless."""
    given = {name.lower(): value for name, value in map(_pair, options)}
    seconds = (min(_SELECTION_SECONDS, timeout_seconds), min(_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
    defaults = {name: round(1000 * each) for name, each in zip(_DRIVER_TIMEOUTS, seconds, strict=True)}
    return {name: value for name, value in defaults.items() if given.get(name.lower(), "0").strip("0.") == ""}


def _refuse_unknown(pairs: list[str]) -> None:
    """Of an option that it does not know the driver only warns."""
    names = (_pair(pair)[0] for pair in pairs)
    refuse_unknown(
        (name for name in names if name.lower() not in URI_OPTIONS_VALIDATOR_MAP),
        _OPTIONS,
        "A MongoDB chest",
        near=URI_OPTIONS_VALIDATOR_MAP,
        also=", and those of MongoDB's connection strings",
    )
