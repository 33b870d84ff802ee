"""``Option``: an option's name, kind and meaning; how its value is found and read, and what an unknown name is close to."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from chest.errors import SettingsError
from chest.settings.types import OptionType

Side = Literal["request", "recorder"]
Source = Literal["argument", "config", "environment", "default"]

PREFIX: Final = "CHEST_"

_logger = logging.getLogger("chest.settings")
_warned_names: set[str] = set()


class Option(NamedTuple):
    """One option as the documentation and the command line show it."""

    name: str
    default: Any
    unit: str
    """"" if the value has none."""
    meaning: str
    side: Side
    """Whose option it is: "request" (a middleware's) or "recorder"."""
    kind: OptionType
    key: str
    """Its name in a config mapping such as Flask's ``app.config``."""
    former: str = ""
    """The name that it had in an earlier release, which still works; "" if there was none."""

    @property
    def environment_name(self) -> str | None:
        """Its name in the environment; None if no text can be its value."""
        return self.key if self.kind.fits_text else None

    @property
    def former_key(self) -> str:
        """``key`` under the former name; "" if there was none."""
        return self.former and PREFIX + self.former.upper()

    @property
    def type_text(self) -> str:
        """What its value may be, in words."""
        return self.kind.text

    def find(
        self, arguments: Mapping[str, Any], config: Mapping[str, Any], environ: Mapping[str, str]
    ) -> tuple[Any, Source] | None:
        """The option's value and its source: arguments win over config, and config over the environment. None: not given.

        A former name works like the present one and is logged once a process.

        :raises SettingsError: the value is invalid, or the two names are given different values in one place.
        """
        keys = (self.key, self.former_key)
        candidates: tuple[tuple[Source, Mapping[str, Any], str, str], ...] = (
            ("argument", arguments, self.name, self.former),
            ("config", config, *keys),
            ("environment", environ, *keys),
        )
        for source, values, name, former in candidates:
            given, formerly_given = values.get(name), values.get(former) if former else None
            if values is environ:
                given, formerly_given = (given or "").strip() or None, (formerly_given or "").strip() or None
            if formerly_given is not None:
                if given is not None and given != formerly_given:
                    raise SettingsError(
                        f"{name} and {former} ({source}) are the new and the old name of one option, and their values"
                        f" differ: remove {former}"
                    )
                given = formerly_given
                _say_former(former, name)
            if given is not None:
                return self.read(given, source), source
        return None

    def read(self, given: object, source: Source) -> Any:
        """The option's value, made of what was given.

        :raises SettingsError: it is invalid; the message names source, option, value (never a secret) and form.
        """
        name = self.name if source == "argument" else self.key
        shown = f"{name} ({source})" if self.kind.is_secret else f"{name}={reprlib.repr(given)} ({source})"
        if source == "environment" and not self.kind.fits_text:
            raise SettingsError(f"{shown}: text cannot be {self.kind.text}; give it as the argument {self.name}")
        try:
            return self.kind.parse(given)
        except ValueError as error:
            unit = f" ({self.unit})" if self.unit and self.unit not in self.kind.text else ""
            detail = f"; {error}" if str(error) else ""
            raise SettingsError(f"{shown}: expected {self.kind.text}{unit}{detail}") from None


def _say_former(former: str, name: str) -> None:
    if former not in _warned_names:
        _warned_names.add(former)
        _logger.warning("chest: the option %s is now called %s; the old name still works", former, name)


def of_request(kind: OptionType, meaning: str, unit: str = "") -> dict[str, Any]:
    """What makes a field an option of the request side."""
    return _about("request", kind, meaning, unit)


def of_recorder(kind: OptionType, meaning: str, unit: str = "", key: str = "", former: str = "") -> dict[str, Any]:
    """What makes a field an option of a recorder."""
    return _about("recorder", kind, meaning, unit, key, former)


def _about(side: Side, kind: OptionType, meaning: str, unit: str, key: str = "", former: str = "") -> dict[str, Any]:
    """What makes a field an option.

    :param key: its name in config and environment, if that does not follow from the field's name.
    :param former: the name that it had before; it still works.
    """
    return {"side": side, "kind": kind, "meaning": meaning, "unit": unit, "key": key, "former": former}


def refuse_unknown_arguments(names: Iterable[str], options: Collection[Option]) -> None:
    """``SettingsError`` for the first name that no option has, with the nearest one."""
    known = {name for each in options for name in (each.name, each.former)}
    for name in names:
        if name not in known:
            spellings = {each: option.name for option in options for each in _argument_spellings(option) if each}
            raise SettingsError(f"{name!r} (argument) is not an option{_hint(name.lower(), spellings)}")


def refuse_unknown_keys(config: Iterable[object], options: Collection[Option]) -> None:
    """``SettingsError`` for the first key that begins with ``CHEST_`` and that no option has, with the nearest one."""
    known = _keys(options)
    for key in config:
        if isinstance(key, str) and key.startswith(PREFIX) and key not in known:
            raise SettingsError(f"{key!r} (config) is not an option{_hint(key, _key_spellings(options))}")


def warn_of_unknown_variables(environ: Iterable[str], options: Collection[Option]) -> None:
    """One log line, once a process, for each ``CHEST_`` variable that no option has, with the nearest one."""
    known = _keys(options)
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name not in _warned_names:
            _warned_names.add(name)
            spellings = _key_spellings(options)
            _logger.warning("chest: the environment variable %s is unknown and ignored%s", name, _hint(name, spellings))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that is spelled most like ``name``; None if none is close."""
    from difflib import get_close_matches  # only for what is misspelt

    by_own_part = {each.removeprefix(PREFIX): each for each in known}  # a prefix in common would make all of them near
    near = get_close_matches(name.removeprefix(PREFIX), by_own_part, n=1, cutoff=0.6)
    return by_own_part[near[0]] if near else None


def _keys(options: Collection[Option]) -> set[str]:
    return {key for each in options for key in (each.key, each.former_key)}


def _key_spellings(options: Collection[Option]) -> dict[str, str]:
    return {
        spelling: each.key
        for each in options
        for spelling in (PREFIX + each.name.upper(), each.key, each.former_key)
        if spelling
    }


def _argument_spellings(option: Option) -> tuple[str, ...]:
    """``chests`` is ``CHEST_URLS`` elsewhere: an argument ``urls`` is close to it."""
    return option.key.removeprefix(PREFIX).lower(), option.name, option.former


def _hint(name: str, spellings: Mapping[str, str]) -> str:
    """The end of a sentence about an unknown name: the closest option, else the command that lists all."""
    near = nearest(name, spellings)
    return f"; did you mean {spellings[near]!r}?" if near else "; `chest settings` shows every option"
