"""``name_of``: what a name in a filter stands for: a field of the record, a variable, or with ``attr.`` an attribute."""

from __future__ import annotations

from typing import Final

from chest.chests.asking.conditions import Name
from chest.query.typed import Misspelt
from chest.record.record import Record
from chest.settings.option import nearest

__all__ = ["FIELDS", "label_of", "name_of"]

FIELDS: Final = {
    **{name: name for name in Record._fields if name not in ("variables", "attributes")},
    "duration": "duration_ns",
    "time": "time_ns",
}
"""What is typed, and the field of the record that it is."""
_SPELLINGS: Final = {"duration_ns": "duration", "time_ns": "time"}
_VARIABLE: Final = ("var.", "variables.")
_ATTRIBUTE: Final = ("attr.", "attributes.")
_ATTRIBUTE_NAMES: Final = ("exception.", "http.", "url.", "user_agent.", "enduser.", "client.address", "chest.")
"""How the names of a record's attributes begin (OpenTelemetry's names)."""


def name_of(text: str) -> Name:
    """The name that was typed.

    :raises Misspelt: it is most likely meant otherwise; the message says how to write what is meant.
    """
    for prefix in _VARIABLE:
        if text.startswith(prefix) and text != prefix:
            return Name("variable", text.removeprefix(prefix))
    for prefix in _ATTRIBUTE:
        if text.startswith(prefix) and text != prefix:
            return Name("attribute", text.removeprefix(prefix))
    if text in FIELDS:
        return Name("field", FIELDS[text])
    if text.lower() in FIELDS:
        raise Misspelt(f"did you mean the field {text.lower()}? A variable of that name is var.{text}", text.lower())
    if text.startswith(_ATTRIBUTE_NAMES):
        raise Misspelt(f"an attribute is written attr.{text}; a variable of that name is var.{text}", f"attr.{text}")
    return Name("variable", text)


def label_of(name: Name) -> str:
    """The name as a person types it; :func:`name_of` of it is the name."""
    if name.place == "attribute":
        return f"attr.{name.name}"
    if name.place == "field":
        return _SPELLINGS.get(name.name, name.name)
    try:
        is_plain = name_of(name.name) == name
    except ValueError:
        is_plain = False
    return name.name if is_plain else f"var.{name.name}"


def near_field(text: str) -> str | None:
    """The field that is spelled most like it."""
    return nearest(text, FIELDS)
