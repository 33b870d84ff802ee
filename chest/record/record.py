"""``Record``: one finished request, frozen; the names and types under which every chest stores it."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

OutcomeName: TypeAlias = Literal[
    "ok",
    "error",
    "client_disconnect",
    "worker_timeout",
    "shutdown",
    "killed",
    "abandoned",
    "upgraded",
    "sent_by_server",
]
"""What ``Record.outcome`` may be; each has a constant in :class:`Outcome`."""

VERSION: Final = 1
"""Of what is written down of a record: one more with each field that is added. It stands in the description of a ring, with the
pieces and dead letters of a spool, and in ``ndjson:`` lines; what has none is of version 1."""


class Outcome:
    """How a request ended, as constants: ``Outcome.OK`` is ``"ok"``. Their type is ``OutcomeName``."""

    OK: Final = "ok"
    ERROR: Final = "error"
    CLIENT_DISCONNECT: Final = "client_disconnect"
    WORKER_TIMEOUT: Final = "worker_timeout"
    SHUTDOWN: Final = "shutdown"
    KILLED: Final = "killed"
    ABANDONED: Final = "abandoned"
    UPGRADED: Final = "upgraded"
    SENT_BY_SERVER: Final = "sent_by_server"


class Record(NamedTuple):
    """One finished request. A tuple, so that nothing can change it and making one costs a tenth of a microsecond.

    ``service``, ``release`` and ``host`` are the same for every record of a process: a ring keeps them once. A later release
    may add fields, always behind these and with the default None; see :mod:`chest.record.decoding`.
    """

    id: str
    """32 hex characters, time-ordered, unique across processes and hosts: what makes a redelivery harmless."""
    request_id: str
    """The user's id of the request, at most 255 characters."""
    time_ns: int
    """When the request began: nanoseconds since 1970-01-01 UTC."""
    duration_ns: int
    """Nanoseconds of a monotonic clock until the complete body was returned, else until ``close()``."""
    method: str
    """OpenTelemetry ``http.request.method``."""
    path: str
    """OpenTelemetry ``url.path``, decoded as UTF-8; never with the query."""
    route: str | None
    """OpenTelemetry ``http.route``: the template of the route, never the raw path; None if it is not known."""
    status: int | None
    """What ``start_response`` said last; None when it was never called."""
    outcome: OutcomeName
    """How the request ended: one of the constants of :class:`Outcome`."""
    error: str | None
    """Class name of the exception that ended the request."""
    variables: dict[str, Any]
    """What the application recorded: names to JSON values."""
    attributes: dict[str, Any]
    """What else Chest knows of the request: OpenTelemetry's names if they exist, else ``chest.*``."""
    service: str
    """Which application."""
    release: str
    """Which version of it."""
    host: str
    """The host that served it."""


def record_key(record: Record) -> str:
    """What the record is remembered by: its ``id``, but of the note of a killed request, whose place the record of this ``id``
    may take, another.
    """
    return f"{Outcome.KILLED} {record.id}" if record.outcome == Outcome.KILLED else record.id
