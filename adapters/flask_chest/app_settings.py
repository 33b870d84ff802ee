"""``AppSettings``: the core's settings and ``CHEST_G``, from arguments, an application's config, and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from chest.adapter import PREFIX, Option, Options, OptionType, Settings, Source

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
    kind=OptionType(f"{ALL}, {TRACKED} or {NONE}", _which_of_g, Literal["all", "tracked", "none"]),
    key="CHEST_G",
)
"""The one option that the core does not have."""


class FlaskOptions(Options, total=False):
    """The options of ``FlaskRecorder``: the core's, and which variables of ``flask.g`` are recorded."""

    g: Literal["all", "tracked", "none"] | None


class AppSettings(NamedTuple):
    """The settings of one application."""

    core: Settings
    g: str
    g_source: Source

    @classmethod
    def resolve(cls, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> AppSettings:
        """Settings from arguments, else ``app.config["CHEST_*"]``, else the environment, else the defaults.

        :raises SettingsError: an unknown name, an invalid value, options that contradict each other.
        """
        config = {key: value for key, value in config.items() if str(key).startswith(PREFIX)}
        environ = dict(os.environ)
        g, g_source = G_OPTION.find(arguments, config, environ) or (G_OPTION.default, "default")
        core = Settings.resolve(
            _without(arguments, G_OPTION.name),
            config=_without(config, G_OPTION.key),
            environ=_without(environ, G_OPTION.key),
        )
        return cls(core, g, g_source)

    @property
    def takes_all_of_g(self) -> bool:
        """True if variables of ``g`` are also recorded without a decorator that names them; ``tracked_vars`` selects among them later."""
        return self.g == ALL or (self.g == TRACKED and self.core.tracked_vars is not None)


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
