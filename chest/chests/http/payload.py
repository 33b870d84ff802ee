"""``Payload``: what is sent to an HTTP endpoint, made of what a ``payload_generator`` returns, or of records."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from chest.record.encoding import encode
from chest.record.record import Record

_GZIP_LEVEL: Final = 6
"""zlib's own default: higher levels take twice the time for a few percent of such JSON."""


class Payload(NamedTuple):
    """A request's body and what it is."""

    content: bytes
    content_type: str | None
    """None: not given."""

    def gzipped(self) -> bytes:
        """The content, compressed; equal content gives equal bytes, whenever it is done."""
        return gzip.compress(self.content, _GZIP_LEVEL, mtime=0)


def of_records(records: Sequence[Record], form: str) -> Payload:
    """Records as objects with the names of :class:`~chest.record.record.Record`.

    :param form: ``json``, one array; or ``ndjson``, one object a line.
    :raises TypeError, ValueError: a value that JSON cannot hold.
    """
    if form == "ndjson":
        lines = b"".join(encode(record._asdict()) + b"\n" for record in records)
        return Payload(lines, "application/x-ndjson")
    return Payload(encode([record._asdict() for record in records]), "application/json")


def of_value(value: Any, *, as_json: bool) -> Payload:
    """What a ``payload_generator`` returned.

    ``str`` and ``bytes`` go as they are (text as UTF-8); with ``as_json`` anything else is JSON; without, a mapping, or
    pairs, are form fields: a list or tuple gives a field for each element, and None gives none.

    :raises TypeError, ValueError: any other type.
    """
    if isinstance(value, str):
        return Payload(value.encode(), None)
    if isinstance(value, bytes | bytearray):
        return Payload(bytes(value), None)
    if as_json:
        return Payload(encode(value), "application/json")
    if isinstance(value, Mapping):
        value = value.items()
    elif not isinstance(value, list | tuple):
        raise TypeError(f"{type(value).__name__} is neither a dict nor text: return one, or set json=True")
    return Payload(urlencode(list(_fields(value))).encode(), "application/x-www-form-urlencoded")


def _fields(pairs: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    for name, value in pairs:
        several = value if isinstance(value, list | tuple | set | frozenset) else (value,)
        yield from ((name, each) for each in several if each is not None)
