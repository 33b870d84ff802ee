"""``Option``: an option's name, kind and meaning; how its value is read, and what an unknown name was meant to be."""

from __future__ import annotations

import difflib
import logging
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from chest.errors import SettingsError
from chest.option_types import OptionType

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
    """"" where the value has none."""
    meaning: str
    side: Side
    """Whose option it is: "request" (a middleware's) or "recorder"."""
    kind: OptionType
    key: str
    """Its name in a config mapping such as Flask's ``app.config``."""

    @property
    def environment_name(self) -> str | None:
        """Its name in the environment; None where no text can be its value."""
        return self.key if self.kind.fits_text else None

    @property
    def type_text(self) -> str:
        """What its value may be, in words."""
        return self.kind.text

    def read(self, given: object, source: Source) -> Any:
        """The option's value, made of what was given.

        :raises SettingsError: it cannot be meant; the message names source, option, value (never a secret) and form.
        """
        name = self.name if source == "argument" else self.key
        shown = f"{name} ({source})" if self.kind.is_secret else f"{name}={reprlib.repr(given)} ({source})"
        if source == "environment" and not self.kind.fits_text:
            raise SettingsError(f"{shown}: {self.kind.text} is no text; give it as the argument {self.name}")
        try:
            return self.kind.parse(given)
        except ValueError as error:
            unit = f" ({self.unit})" if self.unit and self.unit not in self.kind.text else ""
            detail = f"; {error}" if str(error) else ""
            raise SettingsError(f"{shown}: expected {self.kind.text}{unit}{detail}") from None


def refuse_unknown_arguments(names: Iterable[str], options: Iterable[Option]) -> None:
    """``SettingsError`` for the first name that no option has, with the nearest one."""
    spellings = {spelling: option.name for option in options for spelling in (_short_key(option), option.name)}
    known = set(spellings.values())
    for name in names:
        if name not in known:
            raise SettingsError(f"{name!r} (argument) is no option{_meant(name.lower(), spellings)}")


def refuse_unknown_keys(config: Iterable[object], options: Iterable[Option]) -> None:
    """``SettingsError`` for the first key that begins with ``CHEST_`` and that no option has, with the nearest one."""
    spellings = _key_spellings(options)
    known = set(spellings.values())
    for key in config:
        if isinstance(key, str) and key.startswith(PREFIX) and key not in known:
            raise SettingsError(f"{key!r} (config) is no option{_meant(key, spellings)}")


def warn_of_unknown_variables(environ: Iterable[str], options: Iterable[Option]) -> None:
    """One log line, once a process, for each ``CHEST_`` variable that no option has, with the nearest one."""
    spellings = _key_spellings(options)
    known = set(spellings.values())
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name not in _warned_names:
            _warned_names.add(name)
            _logger.warning("%s in the environment is no option and is ignored%s", name, _meant(name, spellings))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``name`` was probably meant to be; None where none is near."""
    by_own_part = {each.removeprefix(PREFIX): each for each in known}  # a prefix in common would make all of them near
    near = difflib.get_close_matches(name.removeprefix(PREFIX), by_own_part, n=1, cutoff=0.6)
    return by_own_part[near[0]] if near else None


def places(
    option: Option, arguments: Mapping[str, Any], config: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[Source, Any]]:
    """What each source says about an option, the one that wins first; None where it says nothing."""
    yield "argument", arguments.get(option.name)
    yield "config", config.get(option.key)
    yield "environment", environ.get(option.key, "").strip() or None


def _key_spellings(options: Iterable[Option]) -> dict[str, str]:
    return {spelling: each.key for each in options for spelling in (PREFIX + each.name.upper(), each.key)}


def _short_key(option: Option) -> str:
    """``chests`` is ``CHEST_URLS`` elsewhere: whoever writes ``urls`` means it."""
    return option.key.removeprefix(PREFIX).lower()


def _meant(name: str, spellings: Mapping[str, str]) -> str:
    """The end of a sentence about an unknown name: what was probably meant, else where all options are shown."""
    near = nearest(name, spellings)
    return f"; did you mean {spellings[near]!r}?" if near else "; `chest settings` shows every option"
