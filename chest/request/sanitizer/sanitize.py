"""``Sanitizer``: converts any value to one that every chest can hold."""

from __future__ import annotations

from typing import Any, Final

from chest.record.encoding import encode
from chest.record.secret_text import LARGEST_CARD, SMALLEST_CARD, may_hold_secret
from chest.record.text import storable
from chest.request.sanitizer.conversion import SCALARS
from chest.request.sanitizer.deep_sanitizer import DeepSanitizer
from chest.request.sanitizer.limits import ENTRY_BYTES, Limits
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.report import RAISED, SANITIZED, SanitizationReport

__all__ = ["Limits", "Sanitizer"]

PLAIN_CHARACTERS: Final = 256
"""The longest text that is plain; to look at one takes time in proportion to its length."""
_UTF8_BYTES_OF_A_CHARACTER: Final = 4
_LARGEST: Final = 2**63 - 1


class Sanitizer:
    """Makes a record's variables fit for JSON and every chest, and hides what redaction hides.

    Most values are plain, and most names were seen before: they stay as they are. What is not plain is a
    :class:`~chest.request.sanitizer.deep_sanitizer.DeepSanitizer`'s to convert, hide and cut.

    One object may serve any number of threads: they share the set of names found good, each use of which is one
    operation of ``set``.

    :param redaction: whose values are not kept.
    :param limits: how much is.
    """

    __slots__ = ("_limits", "_plain_entries", "_redaction", "known_names")

    def __init__(self, redaction: Redaction, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._redaction = redaction
        self._limits = limits
        self.known_names: set[str] = set()
        """Names that were seen and are good; more are added as they come."""
        # So few plain variables are within every limit, however long each of them is.
        longest = ENTRY_BYTES + _UTF8_BYTES_OF_A_CHARACTER * (PLAIN_CHARACTERS + limits.name_characters)
        fits = longest <= limits.value_bytes
        self._plain_entries = min(limits.keys_per_record, limits.record_bytes // longest) if fits else 0

    def clean(self, variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The variables, fit for every chest, and what was changed.

        The result is a snapshot: what the application does to its lists and mappings later does not change it. Never
        raises, whatever the values are; ``variables`` itself is not changed, and is the result if nothing had to be.

        :param variables: a plain ``dict`` that nothing else refers to.
        :return: the variables; and attributes for the record, None if nothing was changed or hidden:
            ``chest.sanitized``, the reasons by name or dotted path (``"..."`` counts what did not find room), and
            ``chest.redacted``, how many values were hidden.
        """
        try:
            if len(variables) <= self._plain_entries and self._are_plain(variables):
                return variables, None
            report = SanitizationReport()
            walk = DeepSanitizer(self._limits, self._redaction, self.known_names, report)
            return walk.record(variables), report.attributes()
        except Exception:  # noqa: BLE001 - this is the request's thread: nothing of ours may reach the application
            return {}, {SANITIZED: {"*": RAISED}}

    def fragment(self, name: str, value: Any, attributes: dict[str, Any]) -> tuple[bytes, str | None] | bytes | None:
        """One variable's value as JSON: what :meth:`clean` makes of it, for the compiled part, which knows the plain ones.

        :param name: an exact ``str``.
        :param attributes: of the record so far; what was changed or hidden in the value is added.
        :return: a short text or number, and why it stands there, for the caller to add; anything else encoded; None if the
            the variables need a walk of their own, because the name changes or the report has no room for more reasons.
        """
        kind = type(value)
        if name not in self.known_names:
            pass
        elif kind is str and len(value) <= PLAIN_CHARACTERS:
            shapes_stay = self._redaction.exempts(name)
            if storable(value) is value and self._redaction.clean_text(value, keeps_shapes=shapes_stay) == value:
                self._redaction.learn_keys(value)
                return encode(value), None
        elif kind in SCALARS:
            convert, reason, has_no_secret = SCALARS[kind]
            plain = convert(value)
            if has_no_secret or is_plain(plain):
                return encode(plain), reason
        report = SanitizationReport(attributes)
        kept: dict[str, Any] = {}
        walk = DeepSanitizer(self._limits, self._redaction, self.known_names, report)
        if not walk.replace(kept, name, value) or report.is_full:
            return None
        attributes.update(report.attributes() or {})
        return encode(kept[name])

    def _are_plain(self, variables: dict[str, Any]) -> bool:
        known_names = self.known_names
        for name, value in variables.items():
            if type(name) is not str or name not in known_names or not is_plain(value):
                return False
        return True


def is_plain(value: Any) -> bool:
    """True if a value needs no conversion, hides nothing and is short."""
    kind = type(value)
    if kind is str:
        return (
            len(value) <= PLAIN_CHARACTERS
            and "\0" not in value
            and not may_hold_secret(value)
            and (value.isascii() or value.isprintable())
        )
    if kind is int:
        return bool(-_LARGEST <= value < SMALLEST_CARD or LARGEST_CARD <= value <= _LARGEST)
    if kind is float:
        return bool(value - value == 0.0)  # neither infinity nor NaN
    return kind is bool or value is None
