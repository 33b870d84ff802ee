"""``Limits``: how much of what an application records is kept."""

from __future__ import annotations

from dataclasses import dataclass

from chest.native import agree


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one record holds, and so how much work one request can be made to pay for it.

    Names and values may come from a client (``context.update(request.args)``): each bound is one that no record written
    on purpose meets, and together they keep the worst one to some milliseconds.

    Bytes are those of text in UTF-8, before JSON escapes any of it, plus :data:`ENTRY_BYTES` for every entry.

    :param depth: containers inside containers; deeper ones become ``[DEPTH]``. MongoDB refuses more than 100, orjson more
        than 254, and no reader needs as many.
    :param items_per_container: entries of one mapping or list; the rest is left out.
    :param keys_per_record: variables of one record; the rest is left out.
    :param name_characters: of a variable's name, and of a key inside a value; longer ones are cut.
    :param value_bytes: of one variable, whatever its shape, so that a large one leaves room for the others.
    :param record_bytes: of all variables; what comes after is left out. A sixteenth of a segment of the ring.
    """

    depth: int = 8
    items_per_container: int = 200
    keys_per_record: int = 256
    name_characters: int = 128
    value_bytes: int = 16 * 1024
    record_bytes: int = 64 * 1024

    @property
    def window(self) -> int:
        """Characters (or bytes) of a long text that are looked at.

        More than can be kept: a URL's password is found by the ``@`` behind it, which may stand behind the cut.
        """
        return 2 * self.value_bytes + 1024


ENTRY_BYTES = 16
"""What an entry counts for beside its text: quotes and separators, or the digits of a number."""

LINE_BYTES = 4096
"""The longest line that is written in C."""
MOST_WALKED = 3
"""So many values of the greatest length may stand in one without being added up."""
_LIMITS = Limits()
assert (
    MOST_WALKED * _LIMITS.value_bytes + LINE_BYTES + ENTRY_BYTES * 2 * _LIMITS.keys_per_record <= _LIMITS.record_bytes
)
agree(
    DEPTH=_LIMITS.depth, MOST_ENTRIES=_LIMITS.items_per_container, KEYS_PER_RECORD=_LIMITS.keys_per_record,
    MOST_WALKED=MOST_WALKED, LINE_BYTES=LINE_BYTES,
)  # fmt: skip
