"""``OptionType``: the values that an option accepts, and how a Python value or a text from the environment is parsed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from chest.settings.chest_urls import chest_urls_of, is_chest_url

Names: TypeAlias = str | Iterable[str]
"""Names or globs, as an argument: a list, or a text with commas."""
NamesByMethod: TypeAlias = Names | Mapping[str, Names]

MIB: Final = 1024 * 1024
_KEY_CHARACTERS: Final = 16
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SIZE: Final = re.compile(r"([0-9][0-9_]*)\s*(B|KiB|MiB|GiB)?", re.IGNORECASE)
_SIZE_UNITS: Final = {"": 1, "b": 1, "kib": 1024, "mib": MIB, "gib": 1024 * MIB}
_BOOLEAN_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class OptionType:
    """One kind of value.

    :param text: the expected form in words, as it stands in messages and in the documentation.
    :param parse: makes the option's value of what was given; ``ValueError`` says what is wrong beyond ``text``, or
        nothing if ``text`` says it all.
    :param argument: the type that an editor shows for the option as an argument; see :mod:`chest.settings.arguments`.
    :param fits_text: False for a value that an environment variable cannot hold (a callable).
    :param is_secret: True if a message must not show what was given (a URL with a password).
    """

    text: str
    parse: Callable[[object], Any]
    argument: Any
    fits_text: bool = True
    is_secret: bool = False


def boolean() -> OptionType:
    """True or False; as text 1/0, true/false, yes/no, on/off."""

    def parse(given: object) -> bool:
        word = given.strip().lower() if isinstance(given, str) else str(int(given)) if isinstance(given, int) else ""
        if word not in _BOOLEAN_WORDS:
            raise ValueError
        return _BOOLEAN_WORDS[word]

    return OptionType("true or false (1/0, yes/no, on/off)", parse, bool)


def number(low: float, high: float) -> OptionType:
    """A number from ``low`` to ``high``, both included; ``high`` may be infinity."""

    def parse(given: object) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError
        value: float = _without_detail(float, given)
        if not low <= value <= high:  # NaN is in no range
            raise ValueError
        return value

    text = f"a number from {low:g} up" if high == float("inf") else f"a number from {low:g} to {high:g}"
    return OptionType(text, parse, float)


def whole_number(low: int, high: int) -> OptionType:
    """An integer from ``low`` to ``high``, both included."""

    def parse(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        value: int = _without_detail(int, given)
        if not low <= value <= high:
            raise ValueError
        return value

    return OptionType(f"a whole number from {low} to {high}", parse, int)


def size(low: int, high: int) -> OptionType:
    """Bytes from ``low`` to ``high``, rounded up to whole MiB; as text also ``16MiB``."""

    def parse(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        value = given if isinstance(given, int) else _bytes_of(given)
        if not low <= value <= high:
            raise ValueError
        return -(-value // MIB) * MIB

    text = f"bytes from {low // MIB}MiB to {high // MIB}MiB, such as 16777216 or 16MiB (rounded up to whole MiB)"
    return OptionType(text, parse, int | str)


def one_of(*words: str) -> OptionType:
    """One of several words."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or given not in words:
            raise ValueError
        return given

    return OptionType(" or ".join(f"`{word}`" for word in words), parse, Literal[words])


def service_name() -> OptionType:
    """A name that can also be the name of a directory."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or given in (".", "..") or not _SERVICE.fullmatch(given):
            raise ValueError
        return given

    return OptionType("1 to 100 letters, digits, '.', '_' or '-' (it names a directory)", parse, str)


def header_name() -> OptionType:
    """A token in the sense of RFC 9110, section 5.6.2."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or not _TOKEN.fullmatch(given):
            raise ValueError
        return given

    return OptionType("a header name such as X-Request-ID (RFC 9110 token)", parse, str)


def short_text(longest: int) -> OptionType:
    """Printable text of at most ``longest`` characters."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or len(given) > longest or not given.isprintable():
            raise ValueError
        return given

    return OptionType(f"printable text of at most {longest} characters", parse, str)


def secret_key() -> OptionType:
    """A text that a hash is keyed with."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or len(given.strip()) < _KEY_CHARACTERS:
            raise ValueError
        return given

    text = f"a secret text of at least {_KEY_CHARACTERS} characters, such as `openssl rand -hex 32` makes"
    return OptionType(text, parse, str, is_secret=True)


def directory_path() -> OptionType:
    """A path, made absolute at once, since a server may change its working directory."""

    def parse(given: object) -> Path:
        if not isinstance(given, str | os.PathLike):
            raise ValueError
        path = os.fspath(given)
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise ValueError
        return Path(os.path.abspath(os.path.expanduser(path)))

    return OptionType("the path of a directory", parse, str | os.PathLike[str])


def function(signature: Any) -> OptionType:
    """A callable, of the type ``signature``."""

    def parse(given: object) -> Callable[..., Any]:
        if not callable(given):
            raise ValueError
        return given

    return OptionType("a callable", parse, signature, fits_text=False)


def name_globs() -> OptionType:
    """Globs over names."""
    return OptionType("globs over names (text: separated by commas)", _entries, Names)


def url_path() -> OptionType:
    """A path below which something is mounted, with a slash at its begin and its end."""

    def parse(given: object) -> str:
        path = given.strip() if isinstance(given, str) else ""
        if not path.strip("/") or path[0] != "/" or "//" in path or not path.isprintable():
            raise ValueError
        return f"{path.rstrip('/')}/"

    return OptionType("a path such as /__chest__/", parse, str)


def path_globs() -> OptionType:
    """Globs over URL paths: one that can match no path is refused."""

    def parse(given: object) -> tuple[str, ...]:
        globs = _entries(given)
        for glob in globs:
            if glob[0] not in "/*?[":
                raise ValueError(f"a path begins with '/', so {glob!r} would match none: write {'/' + glob!r}")
        return globs

    return OptionType("globs over paths, such as /static/* (text: separated by commas)", parse, Names)


def tracked_names() -> OptionType:
    """Names for every method, or names by method; as text a list with commas, or JSON."""

    def parse(given: object) -> tuple[str, ...] | Mapping[str, tuple[str, ...]]:
        if isinstance(given, str) and given.lstrip().startswith(("{", "[")):
            given = _without_detail(json.loads, given)
        if not isinstance(given, Mapping):
            return _entries(given)
        by_method: dict[str, tuple[str, ...]] = {}
        for method, names in given.items():
            if not isinstance(method, str) or not _TOKEN.fullmatch(method):
                raise ValueError(f"{method!r} is not a request method")
            if method.upper() in by_method:
                raise ValueError(f"{method.upper()} is named twice")
            by_method[method.upper()] = _entries(names)
        return MappingProxyType(by_method)

    text = 'a list of names, or names by method: {"GET": ["user_id"]} (text: with commas, or JSON)'
    return OptionType(text, parse, NamesByMethod)


def chest_list() -> OptionType:
    """URLs of chests and chests; a text holds URLs separated by whitespace, or by a comma before a new URL."""

    def parse(given: object) -> tuple[Any, ...]:
        if isinstance(given, str):
            given = chest_urls_of(given)
        chests = tuple(given) if isinstance(given, Iterable) else (given,)
        for place, chest in enumerate(chests, 1):
            if isinstance(chest, str):
                if not is_chest_url(chest):
                    raise ValueError(f"number {place} is not a URL: a file is sqlite:///name.sqlite3")
            elif not callable(getattr(chest, "write", None)):
                raise ValueError(f"number {place} is neither a URL nor a chest but of type {type(chest).__name__}")
            if any(chest is other or (isinstance(chest, str) and chest == other) for other in chests[: place - 1]):
                raise ValueError(f"number {place} is given twice")
        return chests

    text = "URLs of chests, or chests (text: separated by spaces or commas)"
    return OptionType(text, parse, Sequence[Any], is_secret=True)


def mapping_list(entry: Any) -> OptionType:
    """Mappings, each of the type ``entry``; as text JSON."""

    def parse(given: object) -> tuple[Mapping[str, Any], ...]:
        if isinstance(given, str):
            given = _without_detail(json.loads, given)
        entries = (given,) if isinstance(given, Mapping) else tuple(given) if isinstance(given, Iterable) else ()
        if not entries or not all(isinstance(entry, Mapping) for entry in entries):
            raise ValueError
        return tuple(MappingProxyType(dict(entry)) for entry in entries)

    text = 'mappings, such as [{"to": "postgresql://…", "every": 300}] (text: JSON)'
    return OptionType(text, parse, entry | Iterable[entry], is_secret=True)


def _entries(given: object) -> tuple[str, ...]:
    """A tuple of non-empty texts; a lone text is a list with commas, never a list of characters."""
    if isinstance(given, str):
        return tuple(entry for part in given.split(",") if (entry := part.strip()))
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError
    entries = tuple(given)
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip():
            raise ValueError(f"{entry!r} is not a name")
    return entries


def _bytes_of(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError
    return int(match[1].replace("_", "")) * _SIZE_UNITS[(match[2] or "").lower()]


def _without_detail(convert: Callable[[Any], Any], given: object) -> Any:
    """Convert, or raise a ``ValueError`` without Python's own words: the option's ``text`` says what is expected."""
    try:
        return convert(given)
    except (ValueError, OverflowError, RecursionError):
        raise ValueError from None
