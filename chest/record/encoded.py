"""``EncodedRecord``: a record whose JSON is not decoded on its way from a ring, or from another database, into a database."""

from __future__ import annotations

from typing import Any, Final, Self

from chest.record.encoding import decode, encode
from chest.record.record import Record

__all__ = ["EncodedRecord", "plain"]

_VARIABLES: Final = Record._fields.index("variables")
_ATTRIBUTES: Final = Record._fields.index("attributes")


class EncodedRecord(Record):
    """A record that holds the JSON text of its variables and attributes, and decodes them only when they are asked for.

    As a tuple it has the texts in their places, so it is only for a chest that takes it; for every other there
    is :meth:`decoded`.
    """

    __slots__ = ()

    @classmethod
    def of(cls, record: Record) -> Self:
        """The record with its JSON encoded. Raises TypeError or ValueError if JSON cannot hold it."""
        values: list[Any] = list(record)
        for place in (_VARIABLES, _ATTRIBUTES):
            values[place] = encode(values[place]).decode()
        return cls._make(values)

    @property
    def variables(self) -> dict[str, Any]:
        """Decoded anew each time; ``ValueError`` if the text is not a JSON object."""
        return _decoded(self[_VARIABLES])

    @property
    def attributes(self) -> dict[str, Any]:
        """As :attr:`variables`."""
        return _decoded(self[_ATTRIBUTES])

    def _asdict(self) -> dict[str, Any]:
        """Of the plain record, for code that knows no other: a user's, around a chest's ``write``."""
        return self.decoded()._asdict()

    def _replace(self, **values: Any) -> Record:  # type: ignore[override]
        """A plain record, as :meth:`_asdict`."""
        return self.decoded()._replace(**values)

    def decoded(self) -> Record:
        """The plain record; what is not a JSON object is left out, and named in ``chest.sanitized``."""
        values: list[Any] = list(self)
        damaged = {}
        for name, place in (("variables", _VARIABLES), ("attributes", _ATTRIBUTES)):
            try:
                values[place] = _decoded(values[place])
            except ValueError:
                values[place], damaged[name] = {}, "not_decodable"
        if damaged:
            values[_ATTRIBUTES]["chest.sanitized"] = damaged
        return Record._make(values)


def plain(record: Record) -> Record:
    """The record with its JSON decoded."""
    return record.decoded() if isinstance(record, EncodedRecord) else record


def _decoded(json: Any) -> dict[str, Any]:
    value = decode(json)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
