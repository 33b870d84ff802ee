"""``Signal``: what is sent for spans and for log records, and what a collector says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from chest.chests.otlp.mapping import SCHEMA_URL, log_of, resource_of, span_of
from chest.chests.otlp.values import key_values
from chest.chests.otlp.wire import fields_of, sized, tag
from chest.record.record import Record

__all__ = ["SIGNALS", "Signal", "failure_of"]

_RESOURCE_NAMES: Final = ("service.name", "service.version", "host.name", "service.instance.id")
# The messages around spans and log records have the same numbers for their fields.
_GROUPS, _RESOURCE, _SCOPED, _SCOPE, _ITEMS = tag(1), tag(1), tag(2), tag(1), tag(2)
_ATTRIBUTES, _SCOPE_NAME, _SCOPE_VERSION = tag(1), tag(1), tag(2)
_SCHEMA: Final = sized(tag(3), SCHEMA_URL.encode())
_PARTIAL_SUCCESS, _NUMBER, _TEXT = 1, 1, 2
_NEGATIVE: Final = 1 << 63


class Signal(NamedTuple):
    """One of OpenTelemetry's kinds of data."""

    item_of: Callable[[Record], bytes]

    def request_of(self, records: Sequence[Record], version: str) -> bytes:
        """The body for these records, grouped by what those of one process have in common.

        Raises whatever a value raises that no message can hold.

        :param version: the release of Chest.
        """
        groups: dict[tuple[str, ...], list[bytes]] = {}
        for record in records:
            groups.setdefault(resource_of(record), []).append(sized(_ITEMS, self.item_of(record)))
        scope = sized(_SCOPE_NAME, b"chest") + sized(_SCOPE_VERSION, version.encode())
        return b"".join(_group(resource, sized(_SCOPE, scope), items) for resource, items in groups.items())

    def rejected_of(self, content: bytes) -> tuple[int, str]:
        """How many of the records a collector rejected that took the others, and what it says; 0 of an answer that is no message."""
        try:
            partial = fields_of(content).get(_PARTIAL_SUCCESS, b"")
        except ValueError:
            return 0, ""
        return _number_and_text(partial) if isinstance(partial, bytes) else (0, "")


SIGNALS: Final = {"traces": Signal(span_of), "logs": Signal(log_of)}


def failure_of(content: bytes) -> tuple[int, str]:
    """The code of gRPC and the text in which a collector says why it failed (a ``google.rpc.Status``); 0 and "" if it is no message."""
    return _number_and_text(content)


def _number_and_text(message: bytes) -> tuple[int, str]:
    """The two fields of a partial success, and of a status; a number that is negative is 0."""
    try:
        fields = fields_of(message)
        number, text = fields.get(_NUMBER, 0), fields.get(_TEXT, b"")
        if not isinstance(number, int) or not isinstance(text, bytes):
            return 0, ""
        return number if number < _NEGATIVE else 0, text.decode()
    except ValueError:
        return 0, ""


def _group(resource: Sequence[str], scope: bytes, items: Sequence[bytes]) -> bytes:
    """Spans or log records of one process."""
    known = [pair for pair in zip(_RESOURCE_NAMES, resource, strict=True) if pair[1]]
    scoped = scope + b"".join(items) + _SCHEMA
    content = sized(_RESOURCE, key_values(_ATTRIBUTES, known)) + sized(_SCOPED, scoped) + _SCHEMA
    return sized(_GROUPS, content)
