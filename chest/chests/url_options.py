"""What the URLs of several chests have in common, hosts, log-in and what may follow ``?``: read, or refused with what to write."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, unquote

from chest.chests.registry import refuse_ambiguous_login, shown_login
from chest.errors import SettingsError
from chest.settings.option import nearest

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "SECONDS_A_DAY",
    "ServersUrl",
    "has_request_id_index_of",
    "refuse_unknown",
    "timeout_seconds_of",
    "ttl_days_of",
    "yes_no_of",
]

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
SECONDS_A_DAY: Final = 86_400
_LONGEST_TIMEOUT_SECONDS: Final = 600.0
_YES_NO: Final = {"1": True, "true": True, "0": False, "false": False}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::([0-9]{1,5}))?")


class ServersUrl(NamedTuple):
    """The parts of ``scheme://user:password@host:port,host/path?name=value``."""

    scheme: str
    """In lower case."""
    login: str
    """As it stands in the URL."""
    hosts: str
    path: str
    """As it stands in the URL, without its first ``/``."""
    options: dict[str, str]

    @classmethod
    def of(cls, text: str) -> Self:
        """The parts, of which those that are missing are empty.

        :raises SettingsError: the password may end in more than one place.
        """
        refuse_ambiguous_login(text)
        scheme, _, rest = text.partition("://")
        place, _, query = rest.partition("?")
        authority, _, path = place.partition("/")
        login, _, hosts = authority.rpartition("@")
        return cls(scheme.lower(), login, hosts, path, dict(parse_qsl(query, keep_blank_values=True)))

    @property
    def user(self) -> str:
        """Without its %-codes."""
        return unquote(self.login.partition(":")[0])

    @property
    def password(self) -> str:
        """Without its %-codes."""
        return unquote(self.login.partition(":")[2])

    def places(self, default_port: int) -> list[tuple[str, int]]:
        """The name and the port of each host; empty if one of them is no host."""
        found = [_HOST.fullmatch(host) for host in self.hosts.split(",")]
        places = [(match[1], int(match[2] or default_port)) for match in found if match is not None]
        return places if len(places) == len(found) and all(0 < port < 2**16 for _, port in places) else []

    def shown_at(self, hosts: str) -> str:
        """The URL for messages up to its path, with these hosts, and with ``***`` for a password."""
        return f"{self.scheme}://{shown_login(self.scheme, self.login)}{hosts}/"


def refuse_unknown(
    given: Iterable[str],
    options: Collection[str],
    subject: str,
    *,
    near: Collection[str] = (),
    also: str = "",
    written: str = "?{}=",
) -> None:
    """Refuse an unknown option, and name the nearest known one.

    :param given: the names in the URL.
    :param options: the known names.
    :param subject: the subject of the message, such as ``An InfluxDB chest``.
    :param near: more names that may have been meant.
    :param also: the end of the message, such as the source of further names.
    :param written: how the user writes an option.
    """
    for name in given:
        if name not in options:
            meant = nearest(name.lower(), (*near, *options))
            hint = f" Did you mean {meant}?" if meant else ""
            known = ", ".join(sorted(options))
            raise SettingsError(f"{subject} has no option {written.format(name)}.{hint} There are: {known}{also}.")


def timeout_seconds_of(given: object) -> float:
    """``timeout_seconds=``: how long the chest waits for its store."""
    try:
        seconds = DEFAULT_TIMEOUT_SECONDS if given is None else float(given)  # type: ignore[arg-type]
        if 0.0 < seconds <= _LONGEST_TIMEOUT_SECONDS:
            return seconds
    except (TypeError, ValueError):
        pass
    raise SettingsError(f"?timeout_seconds={given!r}: seconds, more than 0 and at most {_LONGEST_TIMEOUT_SECONDS:g}.")


def ttl_days_of(text: str | None, most_days: int, *, in_whole_days: bool = False) -> float | None:
    """``ttl_days=``: after how many days the server removes a record by itself; None: it does not.

    :param most_days: what the server can be told at most.
    :param in_whole_days: True if the server counts in days; else it counts in seconds.
    """
    if text is None:
        return None
    with suppress(ValueError):
        days = float(text)
        if (1 if in_whole_days else 1 / SECONDS_A_DAY) <= days <= most_days and (
            days.is_integer() or not in_whole_days
        ):
            return days
    meant = (
        f"a whole number of days, 1 to {most_days}" if in_whole_days else f"days, more than 0 and at most {most_days}"
    )
    raise SettingsError(f"?ttl_days={text!r}: {meant}.")


def yes_no_of(name: str, text: str | None) -> bool:
    """An option that is on or off; off if it is left out."""
    if text is None or text.lower() in _YES_NO:
        return _YES_NO[(text or "0").lower()]
    raise SettingsError(f"?{name}={text!r}: write {name}=1, or leave it out.")


def has_request_id_index_of(given: object) -> bool:
    """``index=``: True if ``request_id`` gets an index."""
    if given in (None, "request_id"):
        return given is not None
    raise SettingsError(f"?index={given!r}: the only index is ?index=request_id; without it, none is made.")
