"""mozlog 2.0: a message as one line of JSON, whatever its fields hold.

The format is Mozilla's: https://github.com/mozilla-services/Dockerflow/blob/main/docs/mozlog.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DEBUG", "ERROR", "INFO", "VERSION", "message", "one_line", "safe_repr"]

VERSION: Final = "2.0"
"""``EnvVersion`` of the messages made here."""

ERROR: Final = 3
INFO: Final = 6
DEBUG: Final = 7
"""Severities of syslog (RFC 5424, table 2): the smaller, the worse."""

_DEEPEST: Final = 32
_MOST_BITS: Final = 14_000
"""Digits of an integer: Python converts no longer one to text (its limit is 4300)."""


def message(
    *, time_ns: int, kind: str, logger: str, hostname: str, severity: int, pid: int | None, fields: dict[str, Any]
) -> dict[str, Any]:
    """A message of the format.

    :param time_ns: Unix time in nanoseconds.
    :param kind: ``Type``: what kind of message, such as ``request.summary``.
    :param logger: ``Logger``: which application says it.
    :param severity: syslog's.
    :param fields: what the kind of message has to say.
    """
    return {
        "Timestamp": time_ns, "Type": kind, "Logger": logger, "Hostname": hostname, "EnvVersion": VERSION,
        "Severity": severity, "Pid": pid, "Fields": fields,
    }  # fmt: skip


def one_line(message: Mapping[str, Any]) -> str:
    """The message as JSON in ASCII, without a line break in it or behind it; raises nothing.

    A value that JSON cannot hold is written as its ``repr``. Line breaks, also those of Unicode, are escaped, so that no value
    looks like another line.
    """
    try:
        return _encode(message)
    except Exception:  # noqa: BLE001 - keys that are no text, NaN, circles, mappings that raise: looked at one by one
        return json.dumps(_plain(message, _DEEPEST))


def safe_repr(value: object) -> str:
    """``repr(value)``; of a value whose ``__repr__`` raises, its class and what was raised."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the application's
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


_encode: Final = json.JSONEncoder(default=safe_repr, allow_nan=False).encode
"""Made once: ``json.dumps`` with options makes an encoder a call."""


def _plain(value: Any, depth: int) -> Any:
    """The value, made of what JSON has."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _MOST_BITS else f"<integer of {value.bit_length()} bits>"
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    try:
        if depth and isinstance(value, Mapping):
            return {_key(name): _plain(each, depth - 1) for name, each in value.items()}
        if depth and isinstance(value, (list, tuple)):
            return [_plain(each, depth - 1) for each in value]
    except Exception:  # noqa: BLE001 - a mapping of the application's that raises
        pass
    return safe_repr(value)


def _key(name: object) -> str:
    return name if isinstance(name, str) else safe_repr(name)
