"""``Settings``: every option once, with default, unit and meaning; from arguments, a config or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from chest import option_types as types
from chest.errors import SettingsError
from chest.option import (
    PREFIX,
    Option,
    Side,
    Source,
    places,
    refuse_unknown_arguments,
    refuse_unknown_keys,
    warn_of_unknown_variables,
)
from chest.option_types import MIB, OptionType

REDACTED_BY_DEFAULT: Final = tuple(
    "password passwd pwd secret *_secret secret_* token *_token token_* authorization cookie set_cookie *api_key"
    " *apikey private_key *_private_key *credit*card* *card_number cvv".split()
)


def _request(kind: OptionType, meaning: str, unit: str = "") -> dict[str, Any]:
    return _about("request", kind, meaning, unit)


def _recorder(kind: OptionType, meaning: str, unit: str = "", key: str = "") -> dict[str, Any]:
    return _about("recorder", kind, meaning, unit, key)


def _about(side: Side, kind: OptionType, meaning: str, unit: str, key: str = "") -> dict[str, Any]:
    """What makes a field an option; ``key`` is its name in config and environment where that is not its own."""
    return {"side": side, "kind": kind, "meaning": meaning, "unit": unit, "key": key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option of ``Recorder`` and ``ChestMiddleware``; made, and checked, by :meth:`resolve`.

    The bare constructor checks nothing: ``Settings()`` is the defaults. ``repr`` leaves out ``chests`` and ``exports``, whose
    URLs may hold passwords.
    """

    enabled: bool = field(
        default=True,
        metadata=_request(types.boolean(), "Off leaves the bare app: nothing is recorded, no thread, no file."),
    )
    chests: tuple[Any, ...] = field(
        default=(),
        repr=False,
        metadata=_recorder(
            types.chest_list(),
            "Where records go: URLs, or chests made by hand. None given: `chest.sqlite3` in `directory`.",
            key="CHEST_URLS",
        ),
    )
    directory: Path | None = field(
        default=None,
        metadata=_recorder(
            types.directory_path(),
            "Where ring files live, on a local disk, one service a directory. Not given: the user's state directory.",
        ),
    )
    service: str | None = field(
        default=None,
        metadata=_recorder(types.service_name(), "Which application this is. Not given: the app's import name."),
    )
    release: str = field(
        default="",
        metadata=_recorder(types.short_text(255), "Which version of the application; kept with every record."),
    )
    tracked_vars: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = field(
        default=None,
        metadata=_request(
            types.tracked_names(), "The variables to keep, for all methods or by method. Not given: every variable."
        ),
    )
    exclude_paths: tuple[str, ...] = field(
        default=(),
        metadata=_request(types.path_globs(), "Requests for these paths leave no record and cost next to nothing."),
    )
    redact: tuple[str, ...] = field(
        default=REDACTED_BY_DEFAULT,
        metadata=_request(
            types.name_globs(),
            "Variables of these names, nested ones too, become `[REDACTED]`; case is ignored and `-` equals `_`.",
        ),
    )
    unredacted: tuple[str, ...] = field(
        default=(),
        metadata=_request(types.name_globs(), "Variables of these names are kept although `redact` matches them."),
    )
    sample: float = field(
        default=1.0,
        metadata=_request(
            types.number(0, 1),
            "The share to keep of requests that were ok and fast; errors and slow requests are always kept.",
            "share",
        ),
    )
    # One second is where a person's train of thought breaks (Nielsen 1993): whoever samples wants those requests whole.
    keep_slower_ms: float = field(
        default=1000.0,
        metadata=_request(
            types.number(0, float("inf")),
            "A request that took longer is kept whatever `sample` says; `inf` keeps none for being slow.",
            "milliseconds",
        ),
    )
    before_record: Callable[..., Any] | None = field(
        default=None,
        metadata=_request(types.function(), "Called before a record is kept; returning False drops the record."),
    )
    request_id_generator: Callable[..., Any] | None = field(
        default=None,
        metadata=_request(types.function(), "Makes a request's id. Not given, or where it raises: a random UUID."),
    )
    request_id_header: str = field(
        default="X-Request-ID",
        metadata=_request(types.header_name(), "The header that may bring a request's id, and that tells it back."),
    )
    echo_request_id: bool = field(
        default=True,
        metadata=_request(types.boolean(), "Tell the request's id in the response, unless the app set that header."),
    )
    ring_bytes: int = field(
        default=16 * MIB,
        metadata=_recorder(
            types.size(1 * MIB, 4096 * MIB),
            "Room in each process for records that no chest has yet; when it is full, new ones are dropped.",
            "bytes",
        ),
    )
    exporter: str = field(
        default="thread",
        metadata=_recorder(
            types.one_of("thread", "external"),
            "Who delivers: a thread of each process, or `chest drain`, a process of its own beside them.",
        ),
    )
    spool_bytes: int = field(
        default=1024 * MIB,
        metadata=_recorder(
            types.size(0, 1024 * 1024 * MIB),
            "Room on disk, for each chest, for records that it cannot take yet; when it is full, the oldest are dropped."
            " 0 keeps none: they wait in the ring.",
            "bytes",
        ),
    )
    in_flight: bool = field(
        default=True,
        metadata=_recorder(
            types.boolean(),
            "Note each request when it begins, so that one whose process is killed leaves a record with outcome `killed`.",
        ),
    )
    flush_seconds: float = field(
        default=0.2,
        metadata=_recorder(types.number(0.01, 60), "How long a record may wait for others of its batch.", "seconds"),
    )
    batch_records: int = field(
        default=1000,
        metadata=_recorder(types.whole_number(1, 10_000), "The most records written in one transaction.", "records"),
    )
    shutdown_seconds: float = field(
        default=3.0,
        metadata=_recorder(
            types.number(0, 3600),
            "How long the end of a process may take for delivery; the next process delivers what is left then.",
            "seconds",
        ),
    )
    exports: tuple[Mapping[str, Any], ...] = field(
        default=(),
        repr=False,
        metadata=_recorder(
            types.mapping_list(), "What is exported to other chests, or removed, on a timetable; see docs/transfer.md."
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
            keys without that prefix are somebody else's.
        :param environ: as ``config``, all values text; ``os.environ`` where none is given. An unknown name is only
            warned of, once a process: Kubernetes puts ``CHEST_PORT`` there for a service named chest.
        :raises SettingsError: an unknown name, a value that cannot be meant, options that contradict each other.
        """
        config = {} if config is None else config
        environ = os.environ if environ is None else environ
        refuse_unknown_arguments(arguments, options())
        refuse_unknown_keys(config, options())
        warn_of_unknown_variables(environ, options())
        values: dict[str, Any] = {}
        sources: dict[str, Source] = {}
        for option in options():
            for source, given in places(option, arguments, config, environ):
                if given is not None:
                    values[option.name] = option.read(given, source)
                    sources[option.name] = source
                    break
        settings = cls(**values, _sources=MappingProxyType(sources))
        settings._refuse_contradictions()
        return settings

    def source_of(self, name: str) -> Source:
        """Where the value of the option ``name`` comes from."""
        return self._sources.get(name, "default")

    def _refuse_contradictions(self) -> None:
        both = set(self.redact) & set(self.unredacted)
        if both and self.source_of("redact") != "default":
            raise SettingsError(f"{min(both)!r} stands in redact and in unredacted: take it out of one of them")


def options() -> Iterator[Option]:
    """Every option, in the order of :class:`Settings`."""
    for each in fields(Settings):
        about = each.metadata
        if about:
            key = about["key"] or PREFIX + each.name.upper()
            yield Option(each.name, each.default, about["unit"], about["meaning"], about["side"], about["kind"], key)


REQUEST_SIDE: Final = frozenset(option.name for option in options() if option.side == "request")
"""Options that a middleware takes even beside a recorder that is already made."""
RECORDER_SIDE: Final = frozenset(option.name for option in options() if option.side == "recorder")
"""Options of a recorder, which one that is already made has had its say about."""
