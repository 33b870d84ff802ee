"""``condition_text``: a name and a value as the condition that selects it, in the words of the filter language."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from chest.query.names import name_of

__all__ = ["condition_text", "range_text"]

_NAME: Final = re.compile(r"[^\s=!<>~,]+")
_BARE: Final = re.compile(r"[^\s,\"\[{=!<>~*][^\s,]*(?<!\*)")


def condition_text(label: str, value: str | None, *, is_negated: bool = False) -> str | None:
    """The condition of a filter that a record fulfils if it has this value.

    :param label: a name as :func:`~chest.query.label_of` writes it.
    :param value: as the answers give it; None: the record has no value.
    :param is_negated: the condition that all other records fulfil.
    :returns: None if the language cannot say it: a name with a blank in it, for example.
    """
    if not _is_typed(label):
        return None
    operator = "!=" if is_negated else "="
    if value is None:
        return f"{label}{'=' if is_negated else '!='}*"
    if label == "duration":
        return f"{label}{operator}{_duration(float(value))}" if _is_number(value) else None
    return f"{label}{operator}{_quoted(value)}"


def range_text(label: str, low: float | None, high: float | None) -> str | None:
    """The conditions for a number from ``low`` on and below ``high``; None is no bound. A duration is given in nanoseconds."""
    if not _is_typed(label):
        return None
    bounds = ((">=", low), ("<", high))
    return " ".join(
        f"{label}{operator}{_duration(bound) if label == 'duration' else _number(bound)}"
        for operator, bound in bounds
        if bound is not None
    )


def _is_typed(label: str) -> bool:
    if not _NAME.fullmatch(label):
        return False
    try:
        name_of(label)
    except ValueError:
        return False
    return True


def _quoted(value: str) -> str:
    return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _duration(nanoseconds: float) -> str:
    """In microseconds, of which a thousandth is the smallest that the language knows."""
    return f"{_number(round(nanoseconds) / 1000)}us"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(value)


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
