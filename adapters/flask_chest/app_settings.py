"""``AppSettings``: the core's settings and ``CHEST_G``, from arguments, an application's config, and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chest.adapter import PREFIX, Option, OptionType, Settings, Source, places

ALL: Final = "all"
TRACKED: Final = "tracked"
NONE: Final = "none"


def _which_of_g(given: object) -> str:
    word = given.strip().lower() if isinstance(given, str) else ""
    if word not in (ALL, TRACKED, NONE):
        raise ValueError
    return word


G_OPTION: Final = Option(
    name="g",
    default=ALL,
    unit="",
    meaning="The variables of `flask.g` to record: all, those that `tracked_vars` or a decorator names (`tracked`), or only"
    " those that a decorator names (`none`).",
    side="request",
    kind=OptionType(f"{ALL}, {TRACKED} or {NONE}", _which_of_g),
    key="CHEST_G",
)
"""The one option that the core has not."""


class AppSettings(NamedTuple):
    """What an application's requests are recorded by."""

    core: Settings
    g: str
    g_source: Source

    @classmethod
    def resolve(cls, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> AppSettings:
        """Settings from arguments, else ``app.config["CHEST_*"]``, else the environment, else the defaults.

        :raises SettingsError: an unknown name, a value that cannot be meant, options that contradict each other.
        """
        config = {key: value for key, value in config.items() if str(key).startswith(PREFIX)}
        environ = dict(os.environ)
        g, g_source = _read_g(arguments, config, environ)
        core = Settings.resolve(
            _without(arguments, G_OPTION.name),
            config=_without(config, G_OPTION.key),
            environ=_without(environ, G_OPTION.key),
        )
        return cls(core, g, g_source)

    @property
    def takes_all_of_g(self) -> bool:
        """Whether variables of ``g`` are taken that no decorator names; ``tracked_vars`` has its say later, as of all."""
        return self.g == ALL or (self.g == TRACKED and self.core.tracked_vars is not None)


def _read_g(arguments: Mapping[str, Any], config: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, Source]:
    for source, given in places(G_OPTION, arguments, config, environ):
        if given is not None:
            return G_OPTION.read(given, source), source
    return ALL, "default"


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
