"""``GVariables``: what a request leaves on ``flask.g``, brought into its record; nothing else decides what of ``g`` counts.

``g`` is not of one request alone. It belongs to the application context, and Flask (before 3.2) uses one that is already
pushed again: under ``with app.app_context()``, in a test or a command, all requests share a ``g``; and after a body of
``stream_with_context`` that nobody closed, the next request on that thread finds the ``g`` of another user's. So a request
records only what was set or replaced on ``g`` while it was served, and takes nothing from a ``g`` that another unfinished
request writes to.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flask import Flask, has_request_context, request

from chest import RequestContext, current
from chest.adapter import ENVIRON_KEY, NO_REQUEST, Facts

if TYPE_CHECKING:
    from flask_chest.hooks import Watch

SERVED_KEY: Final = "chest.flask"
"""Under this key ``environ`` holds the :class:`GVariables` of the request, while Flask serves it."""

REQUEST_ID_NAME: Final = "custom_request_id"
"""Flask-Chest's name on ``g`` for the request's id, which is none of its variables."""

OWNER: Final = "_chest_owner"
"""On ``g``: the request that writes to it."""

_DATA: Final = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset,
        OrderedDict, defaultdict, Counter, deque,
        date, datetime, time, timedelta, Decimal, Fraction, UUID, IPv4Address, IPv6Address,
    )
)  # fmt: skip
"""Python's own types of data. Of exactly these: what inherits from one is somebody's object, such as a row of an ORM or a
token that behaves as a mapping."""


_variable_names: Final[set[str]] = set()
"""Names seen on ``g`` that are neither private nor ours: most requests have no other, and are spared the look at each."""
_MOST_NAMES: Final = 10_000


class GVariables(Facts):
    """The variables of one request on ``flask.g``, brought into its record when that is made.

    Left out are private names (``_name``) and everything that is not plain data (:data:`_DATA`, and members of an
    ``Enum``): functions, modules, and the objects that extensions and views park on ``g``, dataclasses among them, which
    are the logged-in user as often as they are data. Such an object is recorded by saying so: ``g.chest["cart"] = cart``.

    What was set on the request's context itself is never replaced. Of a ``g`` that was used before, a variable that is set
    to the very object it held already cannot be told from one that was left alone, and is not recorded.
    """

    # On the class, so that a request only pays for what is different for it.
    watch: Watch
    """Of the application that serves the request: says what of ``g`` is taken, and where what goes wrong is counted."""
    is_over = False
    """Whether the record is made."""
    names: dict[str, Any] | None = None
    """What is on the ``g`` that the request writes to; None before and after."""
    _is_usual = True
    _before: dict[str, Any] | None = None
    _early: dict[str, Any] | None = None
    _kept: frozenset[str] | None = None
    _lender: tuple[GVariables, dict[str, Any]] | None = None

    def at_end(self, context: RequestContext) -> None:
        """The record is about to be made: bring what is on ``g`` into it, and let go of ``g``."""
        self.is_over = True
        names = self.names
        try:
            if names is None or not self._is_usual:
                self._end_unusually(context)
                return
            self.names = None
            names.pop(OWNER, None)  # an application may have emptied its g
            if self.watch.takes_all:
                names = names.copy()  # a thread of the application may set another one meanwhile
                if not context and _variable_names.issuperset(names) and _DATA.issuperset(map(type, names.values())):
                    context |= names
                else:
                    _bring(names, context)
        except Exception as trouble:  # noqa: BLE001 - the record is made without
            self.went_wrong(trouble)

    def went_wrong(self, trouble: Exception) -> None:
        """Count what a ``g``, a request or a response of a class of the application's own led to."""
        self.watch.counters.add("flask_internal_error")
        self.watch.counters.error(f"while recording a request of Flask's: {type(trouble).__name__}")

    def claim_used(self, names: dict[str, Any]) -> None:
        """Flask begins with the request, on a ``g`` that was used before, or the second one of a request that goes through two Flask applications."""
        self._is_usual = False
        if self.names is not None:
            self._early = self._taken()
        owner = names.get(OWNER)
        if owner is not None and owner is not self and not owner.is_over:
            self._borrow(owner, names)
            return
        self.names, self._before = names, names.copy()
        names[OWNER] = self

    def _borrow(self, owner: GVariables, names: dict[str, Any]) -> None:
        """This ``g`` is of a request that is not finished: record nothing of it, and have the owner look away meanwhile."""
        self.watch.counters.add("g_refused")
        owner._early = owner._taken()
        owner._is_usual = False
        owner.names = self.names = None
        self._lender = (owner, names)

    def _end_unusually(self, context: RequestContext) -> None:
        names, kept = self.names, self._kept
        if names is not None and names.get(OWNER) is self:
            del names[OWNER]
        for name, value in self._taken().items():
            if name not in context:
                context[name] = value
        self.names = None
        if kept is not None:
            for name in context.keys() - kept:
                del context[name]
        if self._lender is not None:
            self._give_back(*self._lender)

    def _give_back(self, owner: GVariables, names: dict[str, Any]) -> None:
        """What is on ``g`` by now may be the borrower's: of the owner's is what changes from here on."""
        self._lender = None
        if not owner.is_over:
            owner.names, owner._before = names, names.copy()

    def _taken(self) -> dict[str, Any]:
        """Of what the request has set so far, that which goes into its record."""
        if self._kept is None and not self.watch.takes_all:
            return {}
        found = self.found(self._kept)
        return found if self._early is None else self._early | found

    def found(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The variables that the request has set on ``g`` so far.

        :param names: these, whatever their values are; None: all that are plain data.
        """
        now = self.names
        if now is None:
            return {}
        found = data_of(now) if names is None else {name: now[name] for name in names if name in now}
        return found if self._before is None else set_since(self._before, found)

    def narrow(self, names: Iterable[str]) -> None:
        """Keep only these variables in the request's record, wherever they were set; told twice, both are kept."""
        self._kept = frozenset(names) | (self._kept or frozenset())
        self._is_usual = False


class ChestOnG:
    """``g.chest``: the context of the request being served; where there is none to record, one that keeps nothing.

    Put on the application's class for ``g`` and looked up when it is used: so it costs a request nothing, is there in
    commands and tests too, and is never that of another request. It gives way to a ``g.chest`` of the application's own.
    """

    def __get__(self, instance: object, owner: type | None = None) -> RequestContext:
        context = current()
        if context is NO_REQUEST and has_request_context():  # in a thread, by copy_current_request_context
            found: RequestContext = request.environ.get(ENVIRON_KEY, context)
            return found
        return context


def offer_chest_on_g(app: Flask) -> None:
    """Give the application's ``g`` its ``g.chest``, unless its class has one."""
    base = app.app_ctx_globals_class
    if not hasattr(base, "chest"):
        app.app_ctx_globals_class = type(base.__name__, (base,), {"__module__": base.__module__, "chest": ChestOnG()})  # type: ignore[assignment]


def _bring(names: dict[str, Any], context: RequestContext) -> None:
    """What of this is a variable, and was not set on the context itself."""
    for name, value in data_of(names).items():
        if name not in context:
            context[name] = value
        if len(_variable_names) < _MOST_NAMES:
            _variable_names.add(name)


def data_of(names: dict[str, Any]) -> dict[str, Any]:
    """Of what is on ``g``, by name, the variables: see :class:`GVariables`."""
    return {
        name: value
        for name, value in names.copy().items()  # a copy: a thread of the application may set another one meanwhile
        if name[0] != "_" and (type(value) in _DATA or issubclass(type(value), Enum)) and name != REQUEST_ID_NAME
    }


def set_since(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Of what was found on a ``g`` that was used before, what was set or replaced since."""
    return {name: value for name, value in found.items() if name not in before or before[name] is not value}
