"""``RequestMetadata``: what was said about a request beside its variables; the trace that its ``traceparent`` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from chest import native
from chest.native import IS_NATIVE, agree

if TYPE_CHECKING:
    from chest.request.context import RequestContext


# W3C Trace Context, section 3.2.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)
_match: Final = _TRACEPARENT.fullmatch

Trace: TypeAlias = tuple[str, str | None, str | None]
"""The values of :data:`TRACE_FIELDS`; None for what is not known."""
TRACE_FIELDS: Final = ("trace_id", "parent_span_id", "span_id")
"""Attributes of the record: the trace, the span in the caller that the request is a child of, and the request's own."""
agree(TRACE_FIELDS=" ".join(TRACE_FIELDS))


def trace_of(traceparent: object) -> Trace | None:
    """The trace of a valid header; an invalid one is ignored as a whole."""
    match = _match(traceparent) if isinstance(traceparent, str) else None
    return None if match is None else (match[1], match[2], None)


class MetadataInPython:
    """The fields, for an interpreter without the compiled part: on the class, so that a request only pays for what is said."""

    has_more = False
    """True if something was said by the application, or of what went wrong. What an adapter says of itself (``route``,
    ``known_attributes``, ``is_complete``) is clean and does not count."""
    request_id: object = None
    """What the application made the request's id; None leaves the one it came with."""
    route: str | None = None
    path: str | None = None
    """As the application knows it, if middleware further in gave it a mount that the server does not know."""
    error: str | None = None
    is_complete = False
    is_excluded = False
    written_bytes = 0
    """What went through ``write()`` (PEP 3333)."""
    trace: Trace | None = None
    user: object = None
    """The id of the request's user; "" stores none."""
    known_attributes: Mapping[str, str] | None = None
    """Attributes that are the program's and not a request's, such as the name of an endpoint: they need no cleaning."""
    attributes: dict[str, Any] | None = None
    """What :meth:`RequestMetadata.more` gave, once it was asked for."""
    names: dict[str, Any] | None = None
    """For adapters: variables of the framework's, which :meth:`RequestMetadata.at_end` brings into the record."""
    dispatch: object = None
    """The :class:`~chest.native.Dispatch` that does so in C as long as they are of the usual kind; None if ``at_end`` has to."""
    is_over = False
    """For adapters: True once ``at_end`` was called."""

    def take_over(self, said: RequestMetadata) -> None:
        """Say what these metadata say."""
        for name in ("request_id", "route", "path", "error", "trace", "user", "known_attributes", "attributes"):
            setattr(self, name, getattr(said, name))
        self.has_more, self.written_bytes = said.has_more, said.written_bytes
        self.is_complete, self.is_excluded = said.is_complete, said.is_excluded


if TYPE_CHECKING:
    _Fields = MetadataInPython
else:
    _Fields = native.Metadata if IS_NATIVE else MetadataInPython


class RequestMetadata(_Fields):
    """Made only when something is said.

    An adapter that has a last word gives the context metadata of a class of its own:
    :meth:`~chest.request.context.RequestContext.attach_metadata`.
    """

    if not TYPE_CHECKING:
        __slots__ = ()

    def more(self) -> dict[str, Any]:
        """The attributes that are said of this request alone."""
        if self.attributes is None:
            self.attributes = {}
        return self.attributes

    def at_end(self, context: RequestContext) -> None:
        """For adapters: the record is about to be made, however the request ended. Must not raise or wait.

        Called a second time, it does nothing.
        """


def copied_metadata(context: RequestContext) -> RequestMetadata:
    """What was said of a request so far, for another record of it; without an adapter's last word."""
    metadata, said = RequestMetadata(), getattr(context, "_metadata", None)
    if said is not None:
        metadata.take_over(said)
        metadata.attributes = None if said.attributes is None else said.attributes.copy()
        metadata.is_excluded = False
    return metadata
