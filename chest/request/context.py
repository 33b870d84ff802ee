"""``RequestContext``: what the application records about the request it serves; ``current()`` gives it from anywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter_ns as _perf_counter_ns
from types import TracebackType
from typing import Any, Final

from chest.native import agree
from chest.request.fields import class_name
from chest.request.metadata import RequestMetadata
from chest.request.sanitizer.exception_message import MESSAGE, message_of
from chest.request.sanitizer.stack_trace import STACK, stack_of

ENVIRON_KEY: Final = "chest.context"
"""Under this key ``environ`` holds the request's context."""
agree(ENVIRON_KEY=ENVIRON_KEY)

_MOST_MS: Final = 1e12
"""What a timer adds to; it keeps whole microseconds, since what lies behind is the noise of floating point."""


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
        "__weakref__",
        "_environ",
        "_headers",
        "_in_flight",
        "_metadata",
        "_request_id",
        "_scheme",
        "_server_start_response",
        "_server_write",
        "_status",
    )

    _metadata: RequestMetadata | None
    _request_id: str
    """The id that the request came with, or was given: fit for a header."""
    _scheme: str | None
    """``http`` or ``https``, as the server told; None if it told something else."""
    _status: str | None
    _headers: list[tuple[str, str]]
    _environ: dict[str, Any] | None
    """The request's while the application is called; None before and after, since servers use it again."""
    _in_flight: Any
    """The slot that notes the request while it is being served; None if none does."""
    _server_start_response: Any
    _server_write: Any

    def increment(self, name: str, by: float = 1) -> None:
        """Add ``by`` to the variable ``name``, which begins at 0; a value that is no number is replaced."""
        value = self.get(name)
        self[name] = value + by if value is not None and isinstance(value, (int, float)) else 0 + by

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As a dict's, but that all is set at once: not in part before the end of the request and in part behind it."""
        self |= dict(*args, **kwargs)

    def timer(self, name: str) -> Timer:
        """A context manager that adds its time to ``<name>_ms`` (milliseconds) and 1 to ``<name>_count``."""
        return Timer(self, name)

    def exclude(self) -> None:
        """Leave no record of this request."""
        self._ensure_metadata().is_excluded = True

    def body_is_complete(self) -> None:
        """For adapters: the whole body exists already although it is no list, so record before it is returned."""
        self._ensure_metadata().is_complete = True

    def attach_metadata(self, metadata: RequestMetadata) -> None:
        """For adapters: have these be the request's metadata, with what was said before taken over."""
        if self._metadata is not None:
            metadata.take_over(self._metadata)
        self._metadata = metadata

    def record_error(self, error: BaseException) -> None:
        """Record class, message and traceback of an exception that was handled, and so does not reach the middleware."""
        metadata = self._ensure_metadata()
        metadata.error, said = class_name(error), metadata.more()
        said[MESSAGE], said[STACK] = message_of(error), stack_of(error)

    @property
    def request_id(self) -> str:
        """The user's id of the request. Settable: the application's word counts most. Cut at 255 characters in the record."""
        metadata = self._metadata
        return self._request_id if metadata is None or metadata.request_id is None else metadata.request_id  # type: ignore[return-value]

    @request_id.setter
    def request_id(self, value: str) -> None:
        self._ensure_metadata().request_id = value

    @property
    def is_being_recorded(self) -> bool:
        """True if this is the context of a request that is being served, and that leaves a record."""
        return False

    @property
    def route(self) -> str | None:
        """The template of the route (``/items/<int:id>``), never the raw path; settable, by an adapter or the app."""
        return None if self._metadata is None else self._metadata.route

    @route.setter
    def route(self, template: str | None) -> None:
        self._ensure_metadata().route = template

    @property
    def user(self) -> object:
        """The id of the request's user; settable by the application, whose word counts most, or an adapter. None: unknown.

        Text, a number or a UUID, cut at 255 characters. The record has it as ``enduser.id``, as the option ``user_ids`` says;
        ``""`` keeps none, whatever an adapter knows.
        """
        return None if self._metadata is None else self._metadata.user

    @user.setter
    def user(self, user_id: object) -> None:
        self._ensure_metadata().user = user_id

    @property
    def attributes(self) -> dict[str, Any]:
        """The record's attributes, under OpenTelemetry's names if they exist."""
        return self._ensure_metadata().more()

    def _ensure_metadata(self) -> RequestMetadata:
        metadata = self._metadata
        if metadata is None:
            metadata = self._metadata = RequestMetadata()
        metadata.has_more = True
        return metadata

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} variables>"

    # By identity: each request has its own context, which is also its `start_response` while it is served and may be a key.
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestContext:
        """A context that belongs to no request, with copies of the variables; a value that cannot be copied is shared."""
        copied = memo[id(self)] = _context_of_no_request({}, self.request_id)
        for name, value in dict.copy(self).items():
            try:
                copied[name] = copy.deepcopy(value, memo)
            except Exception:  # noqa: BLE001 - without Chest, `environ` would not hold it, and could be copied
                copied[name] = value
        return copied

    def __reduce__(self) -> tuple[Callable[..., RequestContext], tuple[Any, ...]]:
        """Pickled and copied as a context that belongs to no request; it holds nothing of the server's."""
        return _context_of_no_request, (dict(self), self.request_id)


def _context_of_no_request(variables: dict[str, Any], request_id: str) -> RequestContext:
    context = RequestContext(variables)
    context._metadata = context._scheme = context._status = context._in_flight = context._server_start_response = (
        context._environ
    ) = None
    context._request_id = request_id
    return context


class Timer:
    """Measures a ``with`` block into a context; see :meth:`RequestContext.timer`."""

    __slots__ = ("_begin_ns", "_context", "_name")

    def __init__(self, context: RequestContext, name: str) -> None:
        self._context = context
        self._name = name
        self._begin_ns = 0

    def __enter__(self) -> Timer:
        self._begin_ns = _perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        add_elapsed(self._context, self._name, _perf_counter_ns() - self._begin_ns)
        self._context.increment(f"{self._name}_count")


def add_elapsed(context: RequestContext, kind: str, elapsed_ns: int) -> None:
    """Add a time to the variable ``<kind>_ms`` (milliseconds)."""
    name, elapsed_us = f"{kind}_ms", (elapsed_ns + 500) // 1000
    before = context.get(name)
    if before is not None and isinstance(before, (int, float)) and -_MOST_MS < before < _MOST_MS:
        elapsed_us += round(before * 1000)
    context[name] = elapsed_us / 1000


current_context: Final[ContextVar[RequestContext | None]] = ContextVar("chest.context", default=None)
"""Restored with ``set(previous)`` and not ``reset(token)``: a stream may be closed in another ``contextvars`` context."""
