"""``Point``: one line of InfluxDB's line protocol, escaped so that nothing in a name or value can end it early."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chest.record.encoding import encode

_LATEST_NS: Final = 2**63 - 2
"""InfluxDB's last time; the one after it means "none"."""
_JITTER: Final = 10_000
"""The last four digits of a timestamp are below what the clock of a host is good for."""

# A backslash before one of the characters that are escaped, or at the end, escapes something else than it should, and
# how it could itself be escaped is read differently by InfluxDB and VictoriaMetrics.
_UNCLEAR_BACKSLASHES: Final = re.compile(r"\\+(?=[\\,= ]|\Z)")
# InfluxDB reads on in a string that holds one. VictoriaMetrics begins a line: a client could write points with a request.
_LINE_END: Final = re.compile(r"[\r\n]")
# Most names and values hold no character of these: one search finds that out.
_MARKS_IN_NAMES: Final = re.compile(r"[,= \\\r\n\0]")
_MARKS_IN_TEXTS: Final = re.compile(r'["\\\r\n]')
_LINE_ENDS: Final = re.compile(r"[\r\n\0]+")

_TYPE_NAMES: Final[dict[type, str]] = {str: "string", float: "float", bool: "boolean", int: "integer"}

FieldValue = str | float | bool | int
"""What a field holds; an ``int`` is written as InfluxDB's integer."""


class Point(NamedTuple):
    """One point of a series."""

    measurement: str
    tags: Mapping[str, str]
    """Names and values; an empty value is left out."""
    fields: Mapping[str, FieldValue]
    """At least one."""
    time_ns: int

    def line(self) -> str:
        """The point as line protocol, without a line end."""
        tags = "".join(
            [f",{_name(name)}={_name(value)}" for name, value in sorted(self.tags.items()) if name and value]
        )
        fields = ",".join([f"{_field_name(name)}={_value(value)}" for name, value in self.fields.items()])
        return f"{_measurement(self.measurement)}{tags} {fields} {self.time_ns}"


def field_value(value: Any, *, is_integer: bool = False) -> FieldValue | None:
    """A variable's value as a field holds it: numbers as float, nested values as JSON text; None if there is no value.

    :param is_integer: write a whole number as InfluxDB's integer: the type of a field cannot be changed later.
    """
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int) and is_integer and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, int | float):
        number = float(value)
        return number if math.isfinite(number) else None
    return None if value is None else encode(value).decode()


def timestamp(time_ns: int, *parts: str) -> int:
    """The time with its last four digits replaced by a hash of ``parts``.

    Two requests of one series in one nanosecond would be one point, and the earlier one lost; and a point that is sent
    again must have the very time that it had.

    :param time_ns: Unix time in nanoseconds.
    :param parts: what tells the point from others of its series.
    """
    return min(time_ns - time_ns % _JITTER + zlib.crc32("\0".join(parts).encode()) % _JITTER, _LATEST_NS)


def type_name(value: FieldValue) -> str:
    """The name of a field's type, as InfluxDB's messages have it."""
    return _TYPE_NAMES.get(type(value)) or _TYPE_NAMES[next(kind for kind in _TYPE_NAMES if isinstance(value, kind))]


def _measurement(name: str) -> str:
    text = _clear(name) or "_"
    text = "_" + text if text.startswith("#") else text  # the line would be a comment
    return text.replace(",", "\\,").replace(" ", "\\ ")


def _field_name(name: str) -> str:
    return _name(name.replace('"', "'"))  # to VictoriaMetrics it would begin a text


def _name(text: str) -> str:
    """A tag's name or value, or a field's name."""
    if _MARKS_IN_NAMES.search(text) is None:
        return text
    return _clear(text).replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def _clear(text: str) -> str:
    return _UNCLEAR_BACKSLASHES.sub(lambda match: "/" * len(match[0]), _LINE_ENDS.sub(" ", text))


def _value(value: FieldValue) -> str:
    if isinstance(value, str):
        return f'"{value}"' if _MARKS_IN_TEXTS.search(value) is None else f'"{_escaped(value)}"'
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}i"


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return _LINE_END.sub(lambda match: "\\\\r" if match[0] == "\r" else "\\\\n", text)
