"""The options as keyword arguments, for editors and type checkers: what ``**options`` of ``Recorder`` and others may hold.

:class:`~chest.settings.settings.Settings` is the one table of the options. A test compares these types with it: an option, or
a type, that stands in one of them alone fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import tzinfo
from typing import Any, Literal, TypeAlias, TypedDict

from chest.record.record import OutcomeName, Record
from chest.settings.types import Names, NamesByMethod

BeforeRecord: TypeAlias = Callable[[Record], object]
"""Called before a record is kept; returning False drops the record."""
RequestIdGenerator: TypeAlias = Callable[[], object]

_From = TypedDict("_From", {"from": Any}, total=False)
"""``from`` is a word of the language: no class body can name it."""


class ScheduledTransferOptions(TypedDict, total=False):
    """What a scheduled transfer, or a scheduled retention, may be told beside its target; see ``docs/transfer.md``."""

    every: float
    """Seconds."""
    cron: str
    """A line of a crontab."""
    trigger: Any
    """One of APScheduler's."""
    name: str
    leader: Any
    """A chest that can be read, or its URL."""
    timezone: str | tzinfo
    jitter_seconds: float
    misfire_grace_seconds: float
    move: bool
    limit: int
    batch_records: int
    service: str
    route: str
    outcome: OutcomeName
    map: Callable[[Record], Record | None]
    reject: Callable[[Record, str], object]
    max_age_days: float
    max_rows: int
    max_bytes: int
    chunk_records: int
    may_remove_all: bool


class ScheduledTransferEntry(ScheduledTransferOptions, _From, total=False):
    """One entry of the option ``scheduled_transfers``."""

    to: Any
    """A chest, or its URL; none: the entry is a retention."""


class RecorderOptions(TypedDict, total=False):
    """The options of a recorder's side but ``chests``, which is a parameter. None: not given."""

    directory: str | os.PathLike[str] | None
    service: str | None
    release: str | None
    ring_bytes: int | str | None
    delivery: Literal["thread", "external"] | None
    spool_bytes: int | str | None
    in_flight: bool | None
    metrics: bool | None
    flush_seconds: float | None
    batch_records: int | None
    shutdown_seconds: float | None
    scheduled_transfers: ScheduledTransferEntry | Iterable[ScheduledTransferEntry] | None


class RequestOptions(TypedDict, total=False):
    """The options of the request side, of which each application has its own. None: not given."""

    enabled: bool | None
    tracked_vars: NamesByMethod | None
    exclude_paths: Names | None
    redact: Names | None
    unredacted: Names | None
    exception_messages: bool | None
    exception_stacktraces: bool | None
    user_ids: Literal["plain", "hashed", "none"] | None
    user_ids_key: str | None
    client_address: bool | None
    trusted_proxies: int | str | Iterable[str] | None
    client_address_header: str | None
    sample: float | None
    keep_slower_ms: float | None
    before_record: BeforeRecord | None
    request_id_generator: RequestIdGenerator | None
    request_id_header: str | None
    echo_request_id: bool | None
    ui_path: str | None


class Options(RecorderOptions, RequestOptions, total=False):
    """The options of both sides: what ``ChestMiddleware`` takes."""
