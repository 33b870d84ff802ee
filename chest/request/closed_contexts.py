"""Contexts that keep nothing: of a finished request, of one that is not recorded, and outside a request; and ``current()``."""

from __future__ import annotations

from typing import Any, Final, Self

from chest.record.counters import Counters
from chest.request.context import ENVIRON_KEY, RequestContext, current_context
from chest.request.metadata import RequestMetadata
from chest.request.wsgi import WSGIEnvironment, value_in


class _Unwritable(RequestContext):
    """A context whose writes go nowhere. Each way of writing to a ``dict`` comes through :meth:`_ignore`."""

    __slots__ = ()

    def _ignore(self) -> None:
        raise NotImplementedError

    def _ensure_metadata(self) -> RequestMetadata:
        self._ignore()
        return RequestMetadata()

    def attach_metadata(self, metadata: RequestMetadata) -> None:
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
        raise KeyError("this context belongs to no request that is being served, so it holds nothing")

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


def finished_context(counters: Counters) -> type[FinishedContext]:
    """The class of one recorder's finished contexts: what they share is kept once, in the class."""
    return type("FinishedContext", (FinishedContext,), {"__slots__": (), "_counters": counters})


class UnrecordedContext(RequestContext):
    """The context of a request of an excluded path: what is written can be read back, and ends with the request."""

    __slots__ = ()

    # In the place of the slots: such a context is made in one step.
    _metadata = None
    _request_id = ""

    def _ensure_metadata(self) -> RequestMetadata:
        return RequestMetadata()

    def attach_metadata(self, metadata: RequestMetadata) -> None:
        """What is told of a request that leaves no record is forgotten."""


class NoRequestContext(_Unwritable):
    """What ``current()`` gives outside a request: accepts everything, keeps nothing, so that library code needs no ``if``."""

    __slots__ = ()

    # In the place of the slots, which nobody fills in.
    _metadata = None
    _request_id = ""

    def _ignore(self) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> NoRequestContext:
        return self

    def __reduce__(self) -> str:  # type: ignore[override]
        return "NO_REQUEST"


NO_REQUEST: Final = NoRequestContext()
_get_current: Final = current_context.get


def current() -> RequestContext:
    """The context of the request being served here; outside one a context that keeps nothing.

    Works in the thread or greenlet that serves the request, inside a streamed body, and in code run through
    ``contextvars.copy_context().run``. A plain thread does not inherit it: hand it the context itself.
    """
    context = _get_current()
    return NO_REQUEST if context is None else context


def context_of(environ: WSGIEnvironment) -> RequestContext:
    """The context of the request that has this ``environ``; if it is not recorded, a context that keeps nothing."""
    context = value_in(environ, ENVIRON_KEY)
    return context if isinstance(context, RequestContext) else NO_REQUEST
