"""Records that any release wrote, read as records of this one: a missing field gets its default, an unknown one is passed over.

The rule that makes this safe: a field is only ever added, after the others, and may be None. No field is moved, renamed, removed
or given another type. So values without names get them by their places, and their number tells the release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import contains, itemgetter
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from chest.record.encoding import decode, encode
from chest.record.record import VERSION, Record

__all__ = [
    "FIELD_TYPES",
    "Types",
    "completed",
    "has_types",
    "json_of_record",
    "record_of_fields",
    "record_of_json",
    "record_of_values",
]

Types: TypeAlias = tuple[type, ...]
"""What JSON may give for a field."""
_NEEDED: Final = ("id", "request_id", "time_ns")
"""Without these it is no record."""


def _types_of(hint: Any) -> Types:
    if get_origin(hint) is Literal:  # of a newer release it may be another word
        return (str,)
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(get_origin(kind) or kind for kind in kinds)


FIELD_TYPES: Final[dict[str, Types]] = {name: _types_of(hint) for name, hint in get_type_hints(Record).items()}
"""Of each field of a record, in their order."""
_TYPES: Final = tuple(FIELD_TYPES.values())
_all_of: Final = itemgetter(*FIELD_TYPES)


def record_of_values(values: object) -> Record | None:
    """The record of a list of values in the order of the fields; None if it is damaged."""
    if not isinstance(values, list) or len(values) < len(_NEEDED):
        return None
    if len(values) != len(_TYPES):
        values = completed(values, _TYPES)
    return Record._make(values) if has_types(values, _TYPES) else None


def record_of_fields(fields: Mapping[str, Any]) -> Record:
    """The record of fields by their names, whose types are not looked at.

    :raises KeyError: it is no record of Chest.
    """
    try:
        return Record._make(_all_of(fields))
    except KeyError:
        pass  # one is missing
    return Record._make(
        [
            fields[name] if name in fields or name in _NEEDED else _default_of(types)
            for name, types in FIELD_TYPES.items()
        ]
    )


def json_of_record(record: Record, **more: str) -> bytes:
    """The record as a JSON object, as a stream or a file holds it: one line; :func:`record_of_json` reads it.

    :param more: what is noted beside the record.
    :raises TypeError, ValueError: a value that JSON cannot hold.
    """
    return encode({**record._asdict(), **more, "version": VERSION})


def record_of_json(line: bytes) -> Record | None:
    """The record of a JSON object as a stream or a file holds it, which any release wrote; None if it is none."""
    try:
        record = record_of_fields(decode(line))
    except (ValueError, KeyError, TypeError):
        return None
    return record if has_types(record, _TYPES) else None


def completed(values: Sequence[Any], types: Sequence[Types]) -> list[Any]:
    """As many values as there are types: with defaults for those that an older release did not write, without what a newer one added."""
    return [*values[: len(types)], *map(_default_of, types[len(values) :])]


def has_types(values: Sequence[Any], types: Sequence[Types]) -> bool:
    """True if each of the values is exactly of one of its types."""
    return len(values) == len(types) and all(map(contains, types, map(type, values)))


def _default_of(types: Types) -> Any:
    return None if NoneType in types else types[0]()
