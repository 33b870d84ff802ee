"""``DeepSanitizer``: walks the variables of one record that are not plain, copies what fits and marks what does not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from math import isfinite
from typing import Any, Final

from chest.record.secret_text import LARGEST_CARD, REDACTED, SMALLEST_CARD, is_card_number, may_hold_secret
from chest.record.text import cut, storable, utf8_bytes
from chest.request.sanitizer.conversion import (
    SCALARS,
    Pairs,
    converted,
    large_integer,
    not_finite,
    placeholder,
)
from chest.request.sanitizer.limits import ENTRY_BYTES, Limits
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.report import RAISED, SanitizationReport

CYCLE: Final = "[CYCLE]"
DEPTH: Final = "[DEPTH]"

_SMALLEST_INTEGER: Final = -(2**63)
_REMEMBERED_NAMES: Final = 4096
# Times `name_characters`: what is looked at of a name, and what a walk through a key that is no text may cost.
_NAME_WINDOW: Final = 2


class DeepSanitizer:
    """One walk through a value: the bytes left for the record, the present path, and what was changed so far (``notes``).

    :param limits: how much is kept.
    :param redaction: whose values are not.
    :param known_names: names that need no second look; the walk adds those that it found good.
    :param report: what had to be changed.
    """

    _bytes_reason = "value_bytes"

    def __init__(self, limits: Limits, redaction: Redaction, known_names: set[str], report: SanitizationReport) -> None:
        self._limits = limits
        self._redaction = redaction
        self._known_names = known_names
        self._left = limits.value_bytes
        self._open: list[int] = []
        self._keeps_shapes = False
        self._report = report

    def record(self, variables: dict[Any, Any]) -> dict[str, Any]:
        """The variables of a record, fit for every chest."""
        limits = self._limits
        result: dict[str, Any] = {}
        record_left = limits.record_bytes
        for key, value in variables.items():
            if len(result) == limits.keys_per_record:
                self._report.add("keys")
                break
            self._bytes_reason = "record_bytes" if record_left < limits.value_bytes else "value_bytes"
            self._left = given = min(record_left, limits.value_bytes)
            if not self._put(result, key, value):
                break
            record_left -= given - self._left
        return result

    def replace(self, variables: dict[str, Any], name: str, value: Any) -> bool:
        """Put a fit value in the place of this one, with all the bytes of a variable; False if the name is not fit."""
        fit_name, is_hidden = self._name(name)
        if fit_name != name:
            return False
        self._left = self._limits.value_bytes - ENTRY_BYTES - utf8_bytes(name)
        variables[name] = self._hidden() if is_hidden else self._entry(name, value)
        return True

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            is_large = value.bit_length() > 63 and value != _SMALLEST_INTEGER
            if is_large:
                return self._changed("int_64_bit", large_integer(value))
            if SMALLEST_CARD <= value < LARGEST_CARD and not self._keeps_shapes and is_card_number(str(value)):
                return self._hidden()
            return value
        if kind is float:
            return value if isfinite(value) else self._changed("not_finite", not_finite(value))
        if kind in SCALARS:
            convert, reason, has_no_secret = SCALARS[kind]
            self._report.add(reason)
            plain = convert(value)
            if has_no_secret and len(plain) <= self._left:
                self._left -= len(plain)
                return plain
            return self._value(plain)
        if id(value) in self._open:
            return self._changed("cycle", CYCLE)
        self._open.append(id(value))
        try:
            return self._converted(value, kind)
        finally:
            self._open.pop()

    def _converted(self, value: Any, kind: type) -> Any:
        limits = self._limits
        is_too_deep = len(self._open) > limits.depth
        if (kind is dict or kind is list) and len(value) <= limits.items_per_container and not is_too_deep:
            shallow = value.copy()  # in one step, however many threads change it
            return self._mapping(shallow.items()) if kind is dict else self._list(shallow)
        # One more than can be kept, to see whether more follow; nothing if its content is not looked into.
        most_items = 0 if is_too_deep else 1 + min(limits.items_per_container, max(self._left, 0) // ENTRY_BYTES)
        plain, reason = converted(value, kind, most_items, limits.window)
        if reason:
            self._report.add(reason)
        shape = type(plain)
        if shape is not Pairs and shape is not list:
            return self._value(plain)
        if is_too_deep:
            return self._changed("depth", DEPTH)
        if shape is Pairs:
            return self._mapping(plain)
        return _sorted(self._list(plain)) if issubclass(kind, (set, frozenset)) else self._list(plain)

    def _mapping(self, pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if len(result) == self._limits.items_per_container:
                self._report.add("items")
                break
            if not self._put(result, key, value):
                break
        return result

    def _list(self, items: Iterable[Any]) -> list[Any]:
        result: list[Any] = []
        for item in items:
            if len(result) == self._limits.items_per_container:
                self._report.add("items")
                break
            if not self._pay(ENTRY_BYTES):
                break
            result.append(self._entry(len(result), item))
        return result

    def _put(self, result: dict[str, Any], key: Any, value: Any) -> bool:
        """Add one entry under a name that is text, short and not taken; False when the bytes are used up."""
        name, is_hidden = self._name(key)
        if name in result:
            name = self._free_name(name, result)
        is_hidden = is_hidden or value is REDACTED
        if not self._pay(ENTRY_BYTES + utf8_bytes(name) + (len(REDACTED) if is_hidden else 0)):
            return False
        result[name] = self._hidden() if is_hidden else self._entry(name, value)
        if name is not key and name != key:
            self._note_at(name, "key")
        return True

    def _entry(self, name: object, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            if self._pay_if_plain(value):
                return value
        elif kind is int:
            if -LARGEST_CARD < value < SMALLEST_CARD:
                return value
        elif kind is bool or value is None:
            return value
        self._report.path.append(name)
        kept_shapes = self._keeps_shapes
        self._keeps_shapes = kept_shapes or (type(name) is str and self._redaction.exempts(name))
        try:
            return self._value(value)
        except Exception:  # noqa: BLE001 - whatever an application's object raises, the record goes on without it
            return self._changed(RAISED, placeholder(type(value)))
        finally:
            self._keeps_shapes = kept_shapes
            self._report.path.pop()

    def _hidden(self) -> str:
        self._report.redacted += 1
        return REDACTED

    def _name(self, key: Any) -> tuple[str, bool]:
        """The key as a name, and whether its value is to be hidden; a name that is good as it is will be known."""
        if type(key) is str:
            if key in self._known_names:
                return key, False
            whole = key
        else:
            whole = self._key_text(key)
        most = self._limits.name_characters
        name = self._without_secrets(storable(whole[: _NAME_WINDOW * most]))[:most]
        is_hidden = self._redaction.hides(whole) or (name != whole and self._redaction.hides(name))
        if not is_hidden and name == whole:
            self._learn(name)
        return name, is_hidden

    def _key_text(self, key: Any) -> str:
        """A key that is no text: what it would be as a value, as text."""
        left, was_silent = self._left, self._report.is_silent
        self._left = given = min(left, _NAME_WINDOW * self._limits.name_characters)
        self._report.is_silent = True
        try:
            plain = self._value(key)
        except Exception:  # noqa: BLE001 - as for values
            plain = placeholder(type(key))
        finally:
            self._left = left - (given - self._left)
            self._report.is_silent = was_silent
        return plain if type(plain) is str else json.dumps(plain, ensure_ascii=False)

    def _learn(self, name: str) -> None:
        if len(self._known_names) >= _REMEMBERED_NAMES:
            # Any other goes: a flood of new names costs a known one a second look now and then, and no memory.
            self._known_names.pop()
        self._known_names.add(name)

    def _free_name(self, name: str, taken: dict[str, Any]) -> str:
        """A name beside one that is taken: two keys that become the same text lose neither of their values."""
        for number in count(len(taken) + 1):
            suffix = f"#{number}"
            free = name[: self._limits.name_characters - len(suffix)] + suffix
            if free not in taken:
                break
        return free

    def _pay_if_plain(self, text: str) -> bool:
        """Pay for a text that needs no second look, and fits; False, and nothing is paid, for any other."""
        if len(text) <= self._left and text.isascii() and "\0" not in text and not may_hold_secret(text):
            self._left -= len(text)
            return True
        return False

    def _text(self, text: str) -> str:
        if self._pay_if_plain(text):
            return text
        part = text[: self._limits.window]
        fit = storable(part)
        if fit is not part:
            self._report.add("nul" if "\0" in part else "surrogates")
        cleaned = self._without_secrets(fit)
        kept = cut(cleaned, max(self._left, 0))
        if len(kept) < len(cleaned) or len(part) < len(text):
            self._report.add(self._bytes_reason)
        # What was searched also counts: else a thousand long texts that redaction shortens would cost nothing.
        self._left -= max(utf8_bytes(kept), len(part) // 4)
        return kept

    def _without_secrets(self, text: str) -> str:
        cleaned = self._redaction.clean_text(text, keeps_shapes=self._keeps_shapes)
        if cleaned != text:
            self._report.redacted += 1
            self._report.add("redacted")
        return cleaned

    def _changed(self, reason: str, text: str) -> str:
        """The text that stands in a value's place, and the note that it does."""
        self._report.add(reason)
        return self._text(text)

    def _note_at(self, name: str, reason: str) -> None:
        self._report.path.append(name)
        self._report.add(reason)
        self._report.path.pop()

    def _pay(self, byte_count: int) -> bool:
        """Take this many bytes from the rest; False, and a note, if fewer are left."""
        if byte_count > self._left:
            self._report.add(self._bytes_reason)
            return False
        self._left -= byte_count
        return True


def _sorted(items: list[Any]) -> list[Any]:
    """A set's items in a fixed order, so that the same set gives the same record; unordered if they cannot be compared."""
    try:
        items.sort()
    except TypeError:
        pass
    return items
