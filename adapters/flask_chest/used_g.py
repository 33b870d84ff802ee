"""``Before``: notes what a request sets on a ``g`` that was used before. Comparing is not enough: a name may be set to the same object.

Only such a ``g`` pays for it: its class is changed while a request uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_NOTED: Final = "_chest_noted"
"""On ``g``: the names that were set since the request began."""
_KIND: Final = "_chest_noting"
"""On the class of a ``g``: the class that notes."""
_IS_NOTING: Final = "_chest_is_noting"
"""On the class that notes."""


class Before:
    """What a ``g`` held when a request began to use it, and the names set since.

    :param g: not Flask's proxy, but the object itself.
    """

    def __init__(self, g: Any) -> None:
        self._g = g
        names = vars(g)
        self._before: dict[str, Any] = names.copy()
        self._noted: set[str] = set()
        names[_NOTED] = self._noted
        kind = type(g)
        if _IS_NOTING not in vars(kind):
            try:
                # Not by the class's own __setattr__, which would make it a variable.
                object.__setattr__(g, "__class__", vars(kind).get(_KIND) or _noting(kind))
            except TypeError:  # the class cannot be replaced: objects are compared by identity instead
                pass

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """None in a copy of ``environ``: what is on ``g`` may not be copyable."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()

    def is_of(self, names: dict[str, Any]) -> bool:
        """True if this is the ``g`` with these names."""
        return vars(self._g) is names

    def set_since(self, found: dict[str, Any]) -> dict[str, Any]:
        """The names among those found on ``g`` that were set or replaced since."""
        before, noted = self._before, self._noted
        return {
            name: value
            for name, value in found.items()
            if name in noted or name not in before or before[name] is not value
        }

    def let_go(self) -> None:
        """Restore the class of ``g``, unless another request uses it by now."""
        names = vars(self._g)
        if names.get(_NOTED, self._noted) is self._noted:
            names.pop(_NOTED, None)
            kind = type(self._g)
            if _IS_NOTING in vars(kind):
                object.__setattr__(self._g, "__class__", kind.__base__)


def _noting(kind: type) -> type:
    def noting(method: str) -> Callable[..., Any]:
        def set_and_note(self: Any, name: str, *value: Any, **more: Any) -> Any:
            noted = vars(self).get(_NOTED)
            if noted is not None:
                noted.add(name)
            return getattr(kind, method)(self, name, *value, **more)

        return set_and_note

    setting = {method: noting(method) for method in ("__setattr__", "setdefault") if hasattr(kind, method)}
    made = type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, _IS_NOTING: True, **setting})
    setattr(kind, _KIND, made)
    return made
