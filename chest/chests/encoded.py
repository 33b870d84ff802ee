"""``EncodedRecord``: a record on its way from one database to another, whose JSON nobody has looked into."""

from __future__ import annotations

from typing import Any, Final

from chest.encoding import decode
from chest.record import Record

__all__ = ["ATTRIBUTES_PLACE", "VARIABLES_PLACE", "EncodedRecord"]

VARIABLES_PLACE: Final = Record._fields.index("variables")
ATTRIBUTES_PLACE: Final = Record._fields.index("attributes")


class EncodedRecord(Record):
    """A record that holds the JSON text of its variables and attributes, and decodes them only when they are asked for.

    Decoding and encoding them again is more than half of what a record costs between two SQL databases. As a tuple it has
    the texts in their places, so it is only for chests that say :attr:`~chest.chests.base.Chest.takes_encoded`;
    for everyone else there is :meth:`decoded`. Made by ``tuple.__new__``, with the fields in their order.
    """

    __slots__ = ()

    @property
    def variables(self) -> dict[str, Any]:
        """Decoded anew each time; ``ValueError`` where the text is no JSON."""
        return _decoded(self[VARIABLES_PLACE])

    @property
    def attributes(self) -> dict[str, Any]:
        """As :attr:`variables`."""
        return _decoded(self[ATTRIBUTES_PLACE])

    def decoded(self) -> Record:
        """The plain record; what is no JSON is left out, and said in ``chest.sanitized``."""
        values: list[Any] = list(self)
        damaged = {}
        for name, place in (("variables", VARIABLES_PLACE), ("attributes", ATTRIBUTES_PLACE)):
            try:
                values[place] = decode(values[place])
            except ValueError:
                values[place], damaged[name] = {}, "not_decodable"
        if damaged:
            values[ATTRIBUTES_PLACE]["chest.sanitized"] = damaged
        return Record._make(values)


def _decoded(json: Any) -> dict[str, Any]:
    value: dict[str, Any] = decode(json)
    return value
