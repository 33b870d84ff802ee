"""What answers have in common: their basis, and groups and values as a browser gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chest.chests.asking.cube import OTHERS
from chest.dashboard.parameters import Parameters
from chest.dashboard.reply import basis_of, milliseconds
from chest.query.answer import Answer
from chest.query.wording import condition_text
from chest.record.messages import cut

__all__ = ["LONGEST_VALUE", "about", "group_text", "names_by", "shown_condition", "shown_group"]

LONGEST_VALUE: Final = 1000
"""Characters of a value in a list; the record has it whole."""


def about(answer: Answer) -> dict[str, Any]:
    """What every answer says."""
    return {
        "basis": basis_of(answer.basis),
        "begin_ms": milliseconds(answer.begin_ns),
        "end_ms": milliseconds(answer.end_ns),
    }


def names_by(parameters: Parameters) -> list[str]:
    """The names that divide the requests."""
    return [name for text in parameters.texts("by") for name in text.split(",") if name]


def group_text(group: Sequence[str | None]) -> str | None:
    """One value as it is; several joined."""
    if not group or group == (None,):
        return None
    return cut(", ".join("-" if value is None else value for value in group), LONGEST_VALUE)


def shown_group(by: Sequence[str], group: Sequence[str | None]) -> dict[str, Any]:
    """A group by its values, and the filter that selects it; None if it is made of several, as :data:`OTHERS` is."""
    conditions = [shown_condition(name, value) for name, value in zip(by, group, strict=False)]
    is_others = any(value is OTHERS[0] for value in group)  # a value may have the same text
    is_one = len(group) == len(by) and all(conditions) and not is_others
    return {
        "group": group_text(group),
        "values": [value and cut(value, LONGEST_VALUE) for value in group],
        "condition": " ".join(map(str, conditions)) if is_one else None,
    }


def shown_condition(name: str, value: str | None) -> str | None:
    """The filter that selects a value; None if it is too long for a URL."""
    return condition_text(name, value) if len(value or "") <= LONGEST_VALUE else None
