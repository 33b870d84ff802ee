"""``Sanitizer``: any value to one that every chest can hold, at next to no cost where it already is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from chest.request.limits import ENTRY_BYTES, Limits
from chest.request.redaction import Redaction
from chest.request.walk import Walk
from chest.text import text

__all__ = ["Limits", "Sanitizer", "text"]

_PLAIN_CHARACTERS: Final = 256
"""The longest string that is passed after a glance, which takes time in proportion to its length."""
_UTF8_BYTES_OF_A_CHARACTER: Final = 4
_MOST: Final = 2**63 - 1
_MOST_CHARACTERS: Final = 4096
"""In a text that may be all of a short record: in a longer one nothing is looked for twice."""


class Sanitizer:
    """Makes a record's variables fit for JSON and every chest, hides what redaction hides, and says what it changed.

    Most values are plain, and most names were seen before: such a variable costs a look-up and a few comparisons, and
    nothing is copied. What is not plain is a :class:`~chest.request.walk.Walk`'s to convert, hide and cut.

    One object may serve any number of threads: they share the set of names found good, each use of which is one
    operation of ``set``.

    :param redaction: whose values are not kept.
    :param limits: how much is.
    """

    __slots__ = (
        "_entry_bytes",
        "_limits",
        "_plain_characters",
        "_plain_entries",
        "_plain_items",
        "_redaction",
        "known_names",
    )

    def __init__(self, redaction: Redaction, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._redaction = redaction
        self._limits = limits
        self.known_names: set[str] = set()
        """Names that were seen and are good; more are added as they come."""
        # So few and so short that they are within every limit, whatever they hold: nothing needs to be added up.
        self._plain_characters = min(_PLAIN_CHARACTERS, limits.value_bytes // (2 * _UTF8_BYTES_OF_A_CHARACTER))
        characters = self._plain_characters + limits.name_characters
        self._entry_bytes = ENTRY_BYTES + _UTF8_BYTES_OF_A_CHARACTER * characters
        self._plain_entries = min(limits.keys_per_record, limits.record_bytes // self._entry_bytes)
        self._plain_items = min(limits.items_per_container, limits.value_bytes // self._entry_bytes)
        if limits.depth < 1:
            self._plain_items = -1

    def is_plain(self, variables: dict[str, Any]) -> bool:
        """Whether :meth:`clean` would find nothing to do, if all of it together is as short as most records are.

        Leaves to the caller what is seen at a glance when all is encoded: its length, and whether it can be encoded.

        :param variables: a dict that nobody writes to any more.
        """
        if not self.known_names.issuperset(variables):
            return False
        for value in variables.values():
            kind = type(value)
            if kind is str:
                if len(value) > _MOST_CHARACTERS or not (value.isalnum() or _is_plain_text(value)):
                    return False
            elif kind is int:
                if not -_MOST <= value <= _MOST:
                    return False
            elif kind is float:
                if value - value != 0.0:  # infinity or NaN
                    return False
            elif kind is not bool and value is not None:
                return False
        return True

    def clean(self, variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The variables, fit for every chest, and what was changed.

        The result is a snapshot: what the application does to its lists and mappings later does not change it. Never
        raises, whatever the values are; ``variables`` itself is not changed, and is the result where nothing had to be.

        :param variables: a plain ``dict`` that nobody else holds.
        :return: the variables; and attributes for the record, None where nothing was changed or hidden:
            ``chest.sanitized``, the reasons by name or dotted path (``"..."`` counts what did not find room), and
            ``chest.redacted``, how many values were hidden.
        """
        odd: list[tuple[str, Any]] | None = None
        try:
            if len(variables) > self._plain_entries:
                return self._walked(variables)
            known_names = self.known_names
            longest = self._plain_characters
            type_of, text_type = type, str  # each is used ten times for five variables
            # A call a value would cost more than all of these tests, so `_are_plain` has them once more.
            for name, value in variables.items():
                if type_of(name) is not text_type:
                    return self._walked(variables)
                if name in known_names:
                    kind = type_of(value)
                    if kind is text_type:
                        if (
                            len(value) <= longest
                            and "\0" not in value
                            and ("/" not in value or ("@" not in value and "=" not in value))
                            and (value.isascii() or value.isprintable())
                        ):
                            continue
                    elif kind is int:
                        if value.bit_length() < 64:
                            continue
                    elif kind is float:
                        if value - value == 0.0:  # neither infinity nor NaN
                            continue
                    elif kind is bool or value is None:
                        continue
                if odd is None:
                    odd = [(name, value)]
                else:
                    odd.append((name, value))
            if odd is None:
                return variables, None
            return self._mended(variables, odd) or self._walked(variables)
        except Exception:  # noqa: BLE001 - this is the request's thread: nothing of ours may reach the application
            return {}, {"chest.sanitized": {"*": "raised"}}

    def _mended(
        self, variables: dict[str, Any], odd: list[tuple[str, Any]]
    ) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
        """The variables with what is odd made fit; None where their bytes have to be added up, or a name changes."""
        limits = self._limits
        if len(variables) * self._entry_bytes + len(odd) * limits.value_bytes > limits.record_bytes:
            return None
        result = variables.copy()
        walk: Walk | None = None
        for name, value in odd:
            copy = self._plain_copy(value) if name in self.known_names else None
            if copy is None:
                if walk is None:
                    walk = Walk(limits, self._redaction, self.known_names)
                if not walk.replace(result, name, value):
                    return None
            else:
                result[name] = copy
        return result, None if walk is None else walk.notes.attributes()

    def _walked(self, variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        walk = Walk(self._limits, self._redaction, self.known_names)
        return walk.record(variables), walk.notes.attributes()

    def _plain_copy(self, container: Any) -> dict[str, Any] | list[Any] | None:
        """A copy of a small mapping or list of plain values; None for anything else."""
        kind = type(container)
        if (kind is not dict and kind is not list) or len(container) > self._plain_items:
            return None
        copy: dict[str, Any] | list[Any] = container.copy()
        if len(copy) > self._plain_items:  # another thread adds to it
            return None
        values: Iterable[Any] = copy
        if type(copy) is dict:
            known_names = self.known_names
            for name in copy:
                if type(name) is not str or name not in known_names:
                    return None
            values = copy.values()
        return copy if self._are_plain(values) else None

    def _are_plain(self, values: Iterable[Any]) -> bool:
        """Whether none of these is a container, or needs a second look; the same tests as in :meth:`clean`."""
        longest = self._plain_characters
        for value in values:
            kind = type(value)
            if kind is str:
                if (
                    len(value) > longest
                    or "\0" in value
                    or ("/" in value and ("@" in value or "=" in value))
                    or not (value.isascii() or value.isprintable())
                ):
                    return False
            elif kind is int:
                if value.bit_length() > 63:
                    return False
            elif kind is float:
                if value - value != 0.0:
                    return False
            elif kind is not bool and value is not None:
                return False
        return True


def _is_plain_text(value: str) -> bool:
    """Whether a text holds nothing that is replaced, and no URL of which a part is hidden."""
    return (
        "\0" not in value
        and ("/" not in value or ("@" not in value and "=" not in value))
        and (value.isascii() or value.isprintable())
    )
