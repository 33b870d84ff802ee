"""``Record``: one finished request, frozen; the names and types under which every chest stores it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Outcome:
    """How a request ended: the values of ``Record.outcome``."""

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

    The three fields that are the same for every record of a process stand last: a ring keeps them once.
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
    """OpenTelemetry ``http.route``: the template of the route, never the raw path; None where nobody said it."""
    status: int | None
    """What ``start_response`` said last; None when it was never called."""
    outcome: str
    """One of :class:`Outcome`."""
    error: str | None
    """Class name of the exception that ended the request."""
    variables: dict[str, Any]
    """What the application recorded: names to JSON values."""
    attributes: dict[str, Any]
    """What Chest knows beside it, under OpenTelemetry names where they exist, else ``chest.*``."""
    service: str
    """Which application."""
    release: str
    """Which version of it."""
    host: str
    """Where it ran."""
