"""``RequestContext``: what the application records about the request it serves; ``current()`` gives it from anywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Self

from chest.counters import Counters
from chest.request.fields import class_name

ENVIRON_KEY: Final = "chest.context"
"""Under this key ``environ`` holds the request's context."""

ERROR_MESSAGE_CHARACTERS: Final = 4096
"""More than is kept in the end: what is a URL is cleaned before the message is cut."""
_TIMER_DIGITS: Final = 3
"""A timer's milliseconds are kept to the microsecond; what lies behind is the noise of floating point."""


class Facts:
    """What was said about a request beside its variables; made only when somebody says something.

    An adapter that has a last word gives the context facts of a class of its own: :meth:`RequestContext.tell`.
    """

    # On the class, so that a request only pays for what is said.
    has_more = False
    """Whether something was said of this request: by the application, or of what went wrong. Of the rest an adapter knows
    that it is clean: ``route``, ``known_attributes`` and ``is_complete`` that it set itself."""
    request_id: object = None
    """What the application made the request's id; None leaves the one it came with."""
    route: str | None = None
    error: str | None = None
    is_complete = False
    is_excluded = False
    written_bytes = 0
    """What went through ``write()`` (PEP 3333)."""
    trace_id: str | None = None
    known_attributes: Mapping[str, str] | None = None
    """Attributes that are the program's and not a request's, such as the name of an endpoint: they need no cleaning."""
    attributes: dict[str, Any] | None = None
    """What :meth:`more` gave, once somebody asked for it."""

    def more(self) -> dict[str, Any]:
        """The attributes that are said of this request alone."""
        if self.attributes is None:
            self.attributes = {}
        return self.attributes

    def at_end(self, context: RequestContext) -> None:
        """For adapters: the record is about to be made, whichever way the request ended. Must not raise or wait.

        Called a second time, it does nothing.
        """


class RequestContext(dict[str, Any]):
    """The variables of one request, and what else there is to say about it.

    A ``dict`` (and so a ``MutableMapping``): a variable is set at the cost of a dictionary's entry. Values may be anything;
    what JSON cannot hold is converted and marked when the request ends, and the record is a snapshot: what changes later
    does not change it. Writes after the end of the request are counted as ``late_writes`` and go nowhere.

    Any thread that was handed the context may write to it. ``increment`` and ``timer`` read and then write, so two threads
    that use one name at the same instant can lose one of the two steps.

    Example::

        environ["chest.context"]["user_id"] = "123"
        current().increment("db_queries")
        with current().timer("render"):
            ...
    """

    # All that the classes made of it have, so that a context can become another of them.
    __slots__ = (
        "_facts",
        "_headers",
        "_in_flight",
        "_request_id",
        "_server_start_response",
        "_server_write",
        "_status",
    )

    _facts: Facts | None
    _request_id: str
    """The id that the request came with, or was given: fit for a header."""
    _status: str | None
    _headers: list[tuple[str, str]]
    _in_flight: Any
    """Where the request is noted for as long as it is being served; None where it is not."""
    _server_start_response: Any
    _server_write: Any

    def increment(self, name: str, by: float = 1) -> None:
        """Add ``by`` to the variable ``name``, which begins at 0; a value that is no number is replaced."""
        value = self.get(name, 0)
        self[name] = value + by if isinstance(value, (int, float)) else by

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As a dict's, but that all is set at once: not in part before the end of the request and in part behind it."""
        self |= dict(*args, **kwargs)

    def timer(self, name: str) -> Timer:
        """A context manager that adds its time to ``<name>_ms`` (milliseconds) and 1 to ``<name>_count``."""
        return Timer(self, name)

    def exclude(self) -> None:
        """Leave no record of this request."""
        self._told().is_excluded = True

    def body_is_complete(self) -> None:
        """For adapters: the whole body exists already although it is no list, so record before it is returned."""
        self._told().is_complete = True

    def tell(self, facts: Facts) -> None:
        """For adapters: have these be the request's facts, with what was said before taken over."""
        said = self._facts
        if said is not None:
            facts.__dict__.update(said.__dict__)
        self._facts = facts

    def record_error(self, error: BaseException) -> None:
        """Record the class and message of an exception that was handled, and so does not reach the middleware."""
        facts = self._told()
        facts.error = class_name(error)
        facts.more()["exception.message"] = message_of(error)

    @property
    def request_id(self) -> str:
        """The user's id of the request. Settable: the application's word counts most. Cut at 255 characters in the record."""
        facts = self._facts
        return self._request_id if facts is None or facts.request_id is None else facts.request_id  # type: ignore[return-value]

    @request_id.setter
    def request_id(self, value: str) -> None:
        self._told().request_id = value

    @property
    def is_being_recorded(self) -> bool:
        """Whether this is the context of a request that is being served, and that leaves a record."""
        return False

    @property
    def route(self) -> str | None:
        """The template of the route (``/items/<int:id>``), never the raw path; settable, by an adapter or the app."""
        return None if self._facts is None else self._facts.route

    @route.setter
    def route(self, template: str | None) -> None:
        self._told().route = template

    @property
    def attributes(self) -> dict[str, Any]:
        """What goes beside the variables, under OpenTelemetry's names where they exist."""
        return self._told().more()

    def _told(self) -> Facts:
        facts = self._facts
        if facts is None:
            facts = self._facts = Facts()
        facts.has_more = True
        return facts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} variables>"


class Timer:
    """Measures a ``with`` block into a context; see :meth:`RequestContext.timer`."""

    __slots__ = ("_begin_ns", "_context", "_name")

    def __init__(self, context: RequestContext, name: str) -> None:
        self._context = context
        self._name = name
        self._begin_ns = 0

    def __enter__(self) -> Timer:
        self._begin_ns = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        context, name = self._context, f"{self._name}_ms"
        elapsed_ms = (time.perf_counter_ns() - self._begin_ns) / 1e6
        context.increment(name, elapsed_ms)
        if name in context:
            context[name] = round(context[name], _TIMER_DIGITS)
        context.increment(f"{self._name}_count")


class _Unwritable(RequestContext):
    """A context whose writes go nowhere. Each way of writing to a ``dict`` comes through :meth:`_ignore`."""

    __slots__ = ()

    def _ignore(self) -> None:
        raise NotImplementedError

    def _told(self) -> Facts:
        self._ignore()
        return Facts()

    def tell(self, facts: Facts) -> None:
        self._ignore()

    def __setitem__(self, name: str, value: Any) -> None:
        self._ignore()

    def __delitem__(self, name: str) -> None:
        self._ignore()

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self._ignore()
        return self

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._ignore()

    def setdefault(self, name: str, default: Any = None) -> Any:
        self._ignore()
        return self.get(name, default)

    def pop(self, name: str, default: Any = None) -> Any:
        self._ignore()
        return self.get(name, default)

    def popitem(self) -> tuple[str, Any]:
        raise KeyError("nothing can be taken from a context that is not of a request being served")

    def clear(self) -> None:
        self._ignore()

    def increment(self, name: str, by: float = 1) -> None:
        self._ignore()


class FinishedContext(_Unwritable):
    """What a context becomes when its request has ended: readable, and what is still written is counted."""

    __slots__ = ()

    _counters: Counters
    """The recorder's; :func:`finished_context` makes a class for each."""

    def _ignore(self) -> None:
        self._counters.add("late_writes")

    @property
    def request_id(self) -> str:
        return super().request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        self._ignore()

    @property
    def route(self) -> str | None:
        return None if self._facts is None else self._facts.route

    @route.setter
    def route(self, template: str | None) -> None:
        self._ignore()


def finished_context(counters: Counters) -> type[FinishedContext]:
    """The class of the finished contexts of one recorder: what is the same for all of them costs none of them anything."""
    return type("FinishedContext", (FinishedContext,), {"__slots__": (), "_counters": counters})


class UnrecordedContext(RequestContext):
    """The context of a request of an excluded path: what is written can be read back, and ends with the request."""

    __slots__ = ()

    # In the place of the slots: such a context is made in one step.
    _facts = None
    _request_id = ""

    def _told(self) -> Facts:
        return Facts()

    def tell(self, facts: Facts) -> None:
        """What is told of a request that leaves no record is forgotten."""


class NoRequestContext(_Unwritable):
    """What ``current()`` gives outside a request: accepts everything, keeps nothing, so that library code needs no ``if``."""

    __slots__ = ()

    def _ignore(self) -> None:
        pass

    @property
    def request_id(self) -> str:
        return ""

    @request_id.setter
    def request_id(self, value: str) -> None:
        pass

    @property
    def route(self) -> str | None:
        return None

    @route.setter
    def route(self, template: str | None) -> None:
        pass


NO_REQUEST: Final = NoRequestContext()

current_context: Final[ContextVar[RequestContext | None]] = ContextVar("chest.context", default=None)
"""Restored with ``set(previous)`` and not ``reset(token)``: a stream may be closed in another ``contextvars`` context."""


def current() -> RequestContext:
    """The context of the request being served here; outside one a context that keeps nothing.

    Works in the thread or greenlet that serves the request, inside a streamed body, and in code run through
    ``contextvars.copy_context().run``. A plain thread does not inherit it: hand it the context itself.
    """
    context = current_context.get()
    return NO_REQUEST if context is None else context


def message_of(error: BaseException) -> str:
    """The exception's text, cut; an exception whose ``__str__`` raises gives its class."""
    try:
        return str(error)[:ERROR_MESSAGE_CHARACTERS]
    except Exception:  # noqa: BLE001 - the application's __str__
        return type(error).__name__
