"""``GVariables``: copies what a request sets on ``flask.g`` into its record; the one place that decides which names count.

``g`` belongs to the application context and not to one request. Flask (before 3.2) reuses a context that is already pushed:
under ``with app.app_context()``, in a test or a command, all requests share one ``g``. If a body of ``stream_with_context`` was
never closed, the next request on that thread finds the ``g`` of another user. So a request records only what was set or
replaced on ``g`` while it was served, and takes nothing from a ``g`` that another unfinished request writes to.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flask import Flask, has_request_context, request

from chest import RequestContext, current
from chest.adapter import ENVIRON_KEY, NO_REQUEST, RequestMetadata
from flask_chest.client import USER_NAMES, user_on_g
from flask_chest.contexts import SERVED_KEY
from flask_chest.used_g import Before

if TYPE_CHECKING:
    from flask_chest.hooks import Watch

REQUEST_ID_NAME: Final = "custom_request_id"
"""Flask-Chest's name on ``g`` for the request's id; it is not a variable."""

OWNER: Final = "_chest_owner"
"""On ``g``: the request that writes to it."""

DATA: Final = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset,
        OrderedDict, defaultdict, Counter, deque,
        date, datetime, time, timedelta, Decimal, Fraction, UUID, IPv4Address, IPv6Address,
    )
)  # fmt: skip
"""Python's own types of data, and no subclasses: an object of a subclass may be a row of an ORM, or a token that behaves as a
mapping."""


_OF_EXTENSIONS: Final = frozenset(
    (
        "csrf_token", "csrf_valid",  # Flask-WTF, on each page with a form
        "flask_httpauth_user",  # Flask-HTTPAuth: all that the application's verify_token returned
        "oidc_id_token", "oidc_token_info", "oidc_user",  # Flask-OIDC: claims
        "authlib_server_oauth2_token",
    )
)  # fmt: skip
"""Names that extensions set on ``g`` for themselves: secrets, and claims about a person. An application did not record them."""

VARIABLE_NAMES: Final[set[str]] = set()
"""Names seen on ``g`` that are neither private nor ours. Most requests have no others, and the compiled part takes these."""
_MOST_NAMES: Final = 10_000
_NOT_VARIABLES: Final = _OF_EXTENSIONS | {REQUEST_ID_NAME}


class GVariables(RequestMetadata):
    """The variables of one request on ``flask.g``, brought into its record when that is made.

    Left out are private names (``_name``), names that extensions use (:data:`_OF_EXTENSIONS`), and everything that is not plain
    data (:data:`DATA`, and members of an ``Enum``): functions, modules, and the objects that extensions and views keep on
    ``g``. Dataclasses are left out too: one is the logged-in user as often as it is data. To record such an object, write
    ``g.chest["cart"] = cart``.

    A variable that was set on the request's context itself is never replaced.
    """

    # On the class, so that a request only pays for what is different for it.
    watch: Watch
    """The application's: says which names on ``g`` are taken, and counts what goes wrong. :meth:`Watch.serve` makes a class for each."""
    _before: Before | None = None
    _early: dict[str, Any] | None = None
    _kept: frozenset[str] | None = None
    _lender: tuple[GVariables, Any] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """None: a copy of ``environ`` is not this request's, and through the watch it would hold the application."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()

    def at_end(self, context: RequestContext) -> None:
        """Copy the variables on ``g`` into the record, which is about to be made, and release ``g``.

        The compiled part does so by itself if the request began with an empty ``g``, each name was seen before, and each value is
        of a type in :data:`DATA`.
        """
        self.is_over = True
        try:
            self._end(context)
        except Exception as trouble:  # noqa: BLE001 - the record is made without
            self.names = None  # told again, it does nothing
            self.went_wrong(trouble)

    def went_wrong(self, trouble: Exception) -> None:
        """Count an error that a class of the application's for ``g``, requests or responses caused."""
        self.watch.counters.add("flask_internal_error")
        self.watch.counters.fault("while recording a request of Flask's: %s", type(trouble).__name__)

    def claim(self, g: Any) -> None:
        """Begin with a ``g``: an empty one, one that was used before, or the second one of a request that passes two Flask applications."""
        names = vars(g)
        if names or self.names is not None:
            self._claim_used(g)
        else:
            self.names, names[OWNER] = names, self

    def _claim_used(self, g: Any) -> None:
        self.dispatch = None
        if self.names is not None:
            self.note_user()
            self._early = self._taken()
            self._let_go()
        owner = vars(g).get(OWNER)
        if owner is not None and owner is not self and not owner.is_over:
            self._borrow(owner, g)
            return
        self._begin_with(g)
        vars(g)[OWNER] = self

    def note_user(self, session: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Keep the id of the user that the request has loaded so far, unless the application set one.

        :param session: gives the request's, if it is at hand.
        """
        if self.user is None:
            self.user = user_on_g(self.found(USER_NAMES), session)

    def _begin_with(self, g: Any) -> None:
        self.names, self._before = vars(g), Before(g)

    def _let_go(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before.let_go()

    def _borrow(self, owner: GVariables, g: Any) -> None:
        """Record nothing from a ``g`` that belongs to an unfinished request; its owner ignores changes meanwhile."""
        self.watch.counters.add("g_refused")
        owner._early = owner._taken()
        owner.dispatch = None
        owner._let_go()
        owner.names = self.names = None
        self._lender = (owner, g)

    def _end(self, context: RequestContext) -> None:
        names, kept = self.names, self._kept
        if names is not None and names.get(OWNER) is self:  # an application may have emptied its g
            del names[OWNER]
        self.note_user()
        for name, value in self._taken().items():
            if name not in context:
                context[name] = value
            if kept is None and type(name) is str and len(VARIABLE_NAMES) < _MOST_NAMES:
                VARIABLE_NAMES.add(name)
        self._let_go()
        self.names = None
        if kept is not None:
            for name in context.keys() - kept:
                del context[name]
        if self._lender is not None:
            self._give_back(*self._lender)

    def _give_back(self, owner: GVariables, g: Any) -> None:
        """Return ``g`` to its owner, which records what is set from now on: what is there may be the borrower's."""
        self._lender = None
        if not owner.is_over:
            owner._begin_with(g)

    def _taken(self) -> dict[str, Any]:
        """The variables that the request has set so far and that go into its record."""
        if self._kept is None and not self.watch.takes_all:
            return {}
        found = self.found(self._kept)
        return found if self._early is None else self._early | found

    def found(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The variables that the request has set on ``g`` so far.

        :param names: these names, of any type; None: all names with plain data.
        """
        now = self.names
        if now is None:
            return {}
        found = data_of(now) if names is None else {name: now[name] for name in names if name in now}
        return found if self._before is None else self._before.set_since(found)

    def is_of(self, names: dict[str, Any]) -> bool:
        """True if the request uses the ``g`` with these names, even one that belongs to another request."""
        return self.names is names or self._lender is not None

    def narrow(self, names: Iterable[str]) -> None:
        """Keep only these variables in the request's record; a second call adds to the first."""
        self._kept = frozenset(names) | (self._kept or frozenset())
        self.dispatch = None


def request_variables(*names: str) -> dict[str, Any]:
    """Variables of the current request by these names, as far as it has set them: on its context, or on ``g`` if that is recorded."""
    served: GVariables | None = request.environ.get(SERVED_KEY)
    found = {} if served is None else served._taken()
    return {name: value for name, value in {**found, **current()}.items() if name in names}


class ChestOnG:
    """``g.chest``: the context of the request being served; a context that keeps nothing if the request is not recorded.

    It is an attribute of the application's class for ``g``, looked up when it is used. So it costs a request nothing, exists in
    commands and tests, and is never the context of another request. A ``g.chest`` of the application's own wins.
    """

    def __get__(self, instance: object, owner: type | None = None) -> RequestContext:
        context = current()
        if context is NO_REQUEST and has_request_context():  # in a thread, by copy_current_request_context
            found: RequestContext = request.environ.get(ENVIRON_KEY, context)
            return found
        return context


def offer_chest_on_g(app: Flask) -> None:
    """Add ``g.chest`` to the application's class for ``g``, unless the class has one."""
    base = app.app_ctx_globals_class
    if not hasattr(base, "chest"):
        app.app_ctx_globals_class = type(base.__name__, (base,), {"__module__": base.__module__, "chest": ChestOnG()})  # type: ignore[assignment]


def data_of(names: dict[str, Any]) -> dict[str, Any]:
    """The variables among the names on ``g``; see :class:`GVariables`."""
    return {
        name: value
        for name, value in names.copy().items()  # a copy: a thread of the application may set another one meanwhile
        if name[:1] != "_" and (type(value) in DATA or issubclass(type(value), Enum)) and name not in _NOT_VARIABLES
    }
