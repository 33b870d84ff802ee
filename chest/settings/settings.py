"""``Settings``: every option once, with default, unit and meaning; from arguments, a config or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from chest.errors import SettingsError
from chest.settings import types as types
from chest.settings.arguments import BeforeRecord, RequestIdGenerator, ScheduledTransferEntry
from chest.settings.option import (
    PREFIX,
    Option,
    Source,
    of_recorder,
    of_request,
    refuse_unknown_arguments,
    refuse_unknown_keys,
    warn_of_unknown_variables,
)
from chest.settings.trusted_proxies import trusted_proxies
from chest.settings.types import MIB

SECRETS: Final = "@secrets"
"""As a pattern of the option ``redact``: every name that sounds secret."""
REDACTED_BY_DEFAULT: Final = (SECRETS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option of ``Recorder`` and ``ChestMiddleware``; made, and checked, by :meth:`resolve`.

    The bare constructor checks nothing: ``Settings()`` is the defaults. ``repr`` leaves out ``chests`` and
    ``scheduled_transfers``, whose URLs may hold passwords.
    """

    enabled: bool = field(
        default=True,
        metadata=of_request(types.boolean(), "Off serves the bare app: no record, no thread, no file."),
    )
    chests: tuple[Any, ...] = field(
        default=(),
        repr=False,
        metadata=of_recorder(
            types.chest_list(),
            "Where records go: URLs, or chests made by hand. None given: `chest.sqlite3` in `directory`.",
            key="CHEST_URLS",
        ),
    )
    directory: Path | None = field(
        default=None,
        metadata=of_recorder(
            types.directory_path(),
            "Where ring files live, on a local disk, one service a directory. Not given: the user's state directory.",
        ),
    )
    service: str | None = field(
        default=None,
        metadata=of_recorder(
            types.service_name(),
            "The name of the application. Not given: the application's own name, see docs/application.md.",
        ),
    )
    release: str = field(
        default="",
        metadata=of_recorder(types.short_text(255), "The version of the application; kept with every record."),
    )
    tracked_vars: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = field(
        default=None,
        metadata=of_request(
            types.tracked_names(), "The variables to keep, for all methods or by method. Not given: every variable."
        ),
    )
    exclude_paths: tuple[str, ...] = field(
        default=(),
        metadata=of_request(types.path_globs(), "Requests for these paths leave no record and cost next to nothing."),
    )
    redact: tuple[str, ...] = field(
        default=REDACTED_BY_DEFAULT,
        metadata=of_request(
            types.name_globs(),
            "Variables of these names, nested ones too, become `[REDACTED]`. `@secrets` is every name that sounds secret."
            " Case is ignored and `-` equals `_`.",
        ),
    )
    unredacted: tuple[str, ...] = field(
        default=(),
        metadata=of_request(
            types.name_globs(), "Variables of these names are kept, though `redact` matches them or they look secret."
        ),
    )
    exception_messages: bool = field(
        default=True,
        metadata=of_request(types.boolean(), "Off keeps no message of an exception, which may hold personal data."),
    )
    exception_stacktraces: bool = field(
        default=True,
        metadata=of_request(
            types.boolean(),
            "Off keeps no traceback of an exception: the last 10 frames, each a file, a line and a function.",
        ),
    )
    user_ids: str = field(
        default="plain",
        metadata=of_request(
            types.one_of("plain", "hashed", "none"),
            "How the id of a request's user is kept: as it is, as a hash with `user_ids_key`, or not at all.",
        ),
    )
    user_ids_key: str | None = field(
        default=None,
        repr=False,
        metadata=of_request(
            types.secret_key(), "The key of `hashed`; the same in every process and release, or the hashes differ."
        ),
    )
    client_address: bool = field(
        default=False,
        metadata=of_request(types.boolean(), "Record the address of the client as `client.address`: personal data."),
    )
    trusted_proxies: tuple[str, ...] | int = field(
        default=(),
        metadata=of_request(
            trusted_proxies(), "The proxies that are believed about the client's address; see docs/personal-data.md."
        ),
    )
    client_address_header: str = field(
        default="X-Forwarded-For",
        metadata=of_request(types.header_name(), "The header in which they say it; `Forwarded` is read by RFC 7239."),
    )
    sample: float = field(
        default=1.0,
        metadata=of_request(
            types.number(0, 1),
            "The share to keep of requests that were ok and fast; errors and slow requests are always kept.",
            "share",
        ),
    )
    # After one second a person's train of thought breaks (Nielsen 1993): such requests are kept when others are sampled.
    keep_slower_ms: float = field(
        default=1000.0,
        metadata=of_request(
            types.number(0, float("inf")),
            "A request that took longer is kept even if `sample` would drop it; `inf` turns this off.",
            "milliseconds",
        ),
    )
    before_record: Callable[..., Any] | None = field(
        default=None,
        metadata=of_request(
            types.function(BeforeRecord), "Called before a record is kept; returning False drops the record."
        ),
    )
    request_id_generator: Callable[..., Any] | None = field(
        default=None,
        metadata=of_request(
            types.function(RequestIdGenerator), "Makes a request's id. Not given, or if it raises: a random UUID."
        ),
    )
    request_id_header: str = field(
        default="X-Request-ID",
        metadata=of_request(types.header_name(), "The header that may bring a request's id, and that returns it."),
    )
    echo_request_id: bool = field(
        default=True,
        metadata=of_request(types.boolean(), "Return the request's id in the response, unless the app sets it."),
    )
    ui_path: str = field(
        default="/__chest__/",
        metadata=of_request(types.url_path(), "Where the page is shown, if `ui=ChestPage(allow=...)` mounts it."),
    )
    ring_bytes: int = field(
        default=16 * MIB,
        metadata=of_recorder(
            types.size(1 * MIB, 4096 * MIB),
            "Room in each process for records that are not yet delivered; when it is full, new ones are dropped.",
            "bytes",
        ),
    )
    delivery: str = field(
        default="thread",
        metadata=of_recorder(
            types.one_of("thread", "external"),
            "Where delivery runs: in a thread of each process, or in `chest drain`, a process of its own.",
            former="exporter",
        ),
    )
    spool_bytes: int = field(
        default=1024 * MIB,
        metadata=of_recorder(
            types.size(0, 1024 * 1024 * MIB),
            "Room on disk, for each chest, for records that it cannot take yet; when it is full, the oldest are dropped."
            " 0 keeps none: they wait in the ring.",
            "bytes",
        ),
    )
    in_flight: bool = field(
        default=True,
        metadata=of_recorder(
            types.boolean(),
            "Note each request when it begins, so that one whose process is killed leaves a record with outcome `killed`.",
        ),
    )
    metrics: bool = field(
        default=False,
        metadata=of_recorder(types.boolean(), "Count every request, also one not sampled, for docs/metrics.md."),
    )
    flush_seconds: float = field(
        default=0.2,
        metadata=of_recorder(types.number(0.01, 60), "How long a record may wait for others of its batch.", "seconds"),
    )
    batch_records: int = field(
        default=1000,
        metadata=of_recorder(types.whole_number(1, 10_000), "The most records written in one transaction.", "records"),
    )
    shutdown_seconds: float = field(
        default=3.0,
        metadata=of_recorder(
            types.number(0, 3600),
            "How long the end of a process may take for delivery; the next process delivers the rest.",
            "seconds",
        ),
    )
    scheduled_transfers: tuple[Mapping[str, Any], ...] = field(
        default=(),
        repr=False,
        metadata=of_recorder(
            types.mapping_list(ScheduledTransferEntry),
            "What is transferred to other chests, or removed, on a timetable; see docs/transfer.md.",
            former="exports",
        ),
    )
    _sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, Any],
        *,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Settings from arguments, else a config mapping, else the environment, else the defaults.

        ``None`` in arguments or config and an empty text in the environment mean "not given here".

        :param arguments: options by name.
        :param config: options by ``CHEST_<NAME>`` (``CHEST_URLS`` for ``chests``), such as Flask's ``app.config``;
            keys without that prefix are ignored.
        :param environ: as ``config``, all values text; None: ``os.environ``. An unknown name is only
            warned of, once a process: Kubernetes puts ``CHEST_PORT`` there for a service named chest.
        :raises SettingsError: an unknown name, an invalid value, options that contradict each other.
        """
        config, environ = config or {}, os.environ if environ is None else environ
        refuse_unknown_arguments(arguments, options())
        refuse_unknown_keys(config, options())
        warn_of_unknown_variables(environ, options())
        values: dict[str, Any] = {}
        sources: dict[str, Source] = {}
        for option in options():
            if (found := option.find(arguments, config, environ)) is not None:
                values[option.name], sources[option.name] = found
        settings = cls(**values, _sources=MappingProxyType(sources))
        settings._refuse_contradictions()
        return settings

    def source_of(self, name: str) -> Source:
        """The source of the value of the option ``name``."""
        return self._sources.get(name, "default")

    def _refuse_contradictions(self) -> None:
        both = set(self.redact) & set(self.unredacted)
        if both and self.source_of("redact") != "default":
            raise SettingsError(f"{min(both)!r} is in redact and in unredacted: remove it from one of them")
        if (self.user_ids == "hashed") != (self.user_ids_key is not None):
            raise SettingsError("user_ids=hashed and user_ids_key need each other: give both, or none")


@cache
def options() -> tuple[Option, ...]:
    """Every option, in the order of :class:`Settings`."""
    return tuple(_option_of(each) for each in fields(Settings) if each.metadata)


def _option_of(each: Field[Any]) -> Option:
    about = dict(each.metadata)
    about["key"] = about["key"] or PREFIX + each.name.upper()
    return Option(name=each.name, default=each.default, **about)


REQUEST_SIDE: Final = frozenset(option.name for option in options() if option.side == "request")
"""Options that a middleware takes even beside a shared recorder."""
RECORDER_SIDE: Final = frozenset(option.name for option in options() if option.side == "recorder")
"""Options of a recorder: a middleware beside a shared recorder cannot change them."""
