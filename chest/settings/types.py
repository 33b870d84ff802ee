"""``OptionType``: what an option may be, and how a Python value or a text from the environment becomes it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

MIB: Final = 1024 * 1024
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SIZE: Final = re.compile(r"([0-9][0-9_]*)\s*(B|KiB|MiB|GiB)?", re.IGNORECASE)
_SIZE_UNITS: Final = {"": 1, "b": 1, "kib": 1024, "mib": MIB, "gib": 1024 * MIB}
_BOOLEAN_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
# A comma inside a URL is legal (`mongodb://a:27017,b:27017/shop`), so a comma ends a URL only where another one begins.
_BETWEEN_URLS: Final = re.compile(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.\-]*://|memory:|log:|ndjson:)|\s+")


@dataclass(frozen=True, slots=True)
class OptionType:
    """One kind of value.

    :param text: the expected form in words, as it stands in messages and in the documentation.
    :param parse: makes the option's value of what was given; ``ValueError`` says what is wrong beyond ``text``, or
        nothing where ``text`` says it all.
    :param fits_text: False for what no environment variable can hold (a callable).
    :param is_secret: True where a message must not show what was given (a URL with a password).
    """

    text: str
    parse: Callable[[object], Any]
    fits_text: bool = True
    is_secret: bool = False


def boolean() -> OptionType:
    """True or False; as text 1/0, true/false, yes/no, on/off."""

    def parse(given: object) -> bool:
        word = given.strip().lower() if isinstance(given, str) else str(int(given)) if isinstance(given, int) else ""
        if word not in _BOOLEAN_WORDS:
            raise ValueError
        return _BOOLEAN_WORDS[word]

    return OptionType("true or false (1/0, yes/no, on/off)", parse)


def number(low: float, high: float) -> OptionType:
    """A number from ``low`` to ``high``, both included; ``high`` may be infinity."""

    def parse(given: object) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError
        value: float = _without_detail(float, given)
        if not low <= value <= high:  # NaN is in no range
            raise ValueError
        return value

    return OptionType(
        f"a number from {low:g} up" if high == float("inf") else f"a number from {low:g} to {high:g}", parse
    )


def whole_number(low: int, high: int) -> OptionType:
    """An integer from ``low`` to ``high``, both included."""

    def parse(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        value: int = _without_detail(int, given)
        if not low <= value <= high:
            raise ValueError
        return value

    return OptionType(f"a whole number from {low} to {high}", parse)


def size(low: int, high: int) -> OptionType:
    """Bytes from ``low`` to ``high``, rounded up to whole MiB; as text also ``16MiB``."""

    def parse(given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        value = given if isinstance(given, int) else _bytes_of(given)
        if not low <= value <= high:
            raise ValueError
        return -(-value // MIB) * MIB

    return OptionType(
        f"bytes from {low // MIB}MiB to {high // MIB}MiB, such as 16777216 or 16MiB (rounded up to whole MiB)", parse
    )


def one_of(*words: str) -> OptionType:
    """One of some words."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or given not in words:
            raise ValueError
        return given

    return OptionType(" or ".join(f"`{word}`" for word in words), parse)


def service_name() -> OptionType:
    """A name that is also a directory's."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or given in (".", "..") or not _SERVICE.fullmatch(given):
            raise ValueError
        return given

    return OptionType("1 to 100 letters, digits, '.', '_' or '-' (it names a directory)", parse)


def header_name() -> OptionType:
    """A token in the sense of RFC 9110, section 5.6.2."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or not _TOKEN.fullmatch(given):
            raise ValueError
        return given

    return OptionType("a header name such as X-Request-ID (RFC 9110 token)", parse)


def short_text(longest: int) -> OptionType:
    """Printable text of at most ``longest`` characters."""

    def parse(given: object) -> str:
        if not isinstance(given, str) or len(given) > longest or not given.isprintable():
            raise ValueError
        return given

    return OptionType(f"printable text of at most {longest} characters", parse)


def directory_path() -> OptionType:
    """A path made absolute at once: a server that changes its working directory must not lose its files."""

    def parse(given: object) -> Path:
        if not isinstance(given, str | os.PathLike):
            raise ValueError
        path = os.fspath(given)
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise ValueError
        return Path(os.path.abspath(os.path.expanduser(path)))

    return OptionType("the path of a directory", parse)


def function() -> OptionType:
    """A callable."""

    def parse(given: object) -> Callable[..., Any]:
        if not callable(given):
            raise ValueError
        return given

    return OptionType("a callable", parse, fits_text=False)


def name_globs() -> OptionType:
    """Globs over names."""
    return OptionType("globs over names (text: separated by commas)", _entries)


def path_globs() -> OptionType:
    """Globs over URL paths: one that can match no path is refused."""

    def parse(given: object) -> tuple[str, ...]:
        globs = _entries(given)
        for glob in globs:
            if glob[0] not in "/*?[":
                raise ValueError(f"a path begins with '/', so {glob!r} would match none: write {'/' + glob!r}")
        return globs

    return OptionType("globs over paths, such as /static/* (text: separated by commas)", parse)


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
                raise ValueError(f"{method!r} is no request method")
            if method.upper() in by_method:
                raise ValueError(f"{method.upper()} is named twice")
            by_method[method.upper()] = _entries(names)
        return MappingProxyType(by_method)

    return OptionType('a list of names, or names by method: {"GET": ["user_id"]} (text: with commas, or JSON)', parse)


def chest_list() -> OptionType:
    """URLs of chests and chests; a text holds URLs separated by whitespace, or by a comma where a new URL begins."""

    def parse(given: object) -> tuple[Any, ...]:
        if isinstance(given, str):
            given = [url for url in _BETWEEN_URLS.split(given.strip().strip(",")) if url]
        chests = tuple(given) if isinstance(given, Iterable) else (given,)
        for place, chest in enumerate(chests, 1):
            if isinstance(chest, str):
                if "://" not in chest and not chest.startswith(("memory:", "log:", "ndjson:")):
                    raise ValueError(f"number {place} is no URL: a file is sqlite:///name.sqlite3")
            elif not callable(getattr(chest, "write", None)):
                raise ValueError(f"number {place} is neither a URL nor a chest but of type {type(chest).__name__}")
            if any(chest is other or (isinstance(chest, str) and chest == other) for other in chests[: place - 1]):
                raise ValueError(f"number {place} is given twice")
        return chests

    return OptionType("URLs of chests, or chests (text: separated by spaces or commas)", parse, is_secret=True)


def mapping_list() -> OptionType:
    """Mappings; as text JSON."""

    def parse(given: object) -> tuple[Mapping[str, Any], ...]:
        if isinstance(given, str):
            given = _without_detail(json.loads, given)
        entries = (given,) if isinstance(given, Mapping) else tuple(given) if isinstance(given, Iterable) else ()
        if not entries or not all(isinstance(entry, Mapping) for entry in entries):
            raise ValueError
        return tuple(MappingProxyType(dict(entry)) for entry in entries)

    return OptionType('mappings, such as [{"to": "postgresql://…", "every": 300}] (text: JSON)', parse, is_secret=True)


def _entries(given: object) -> tuple[str, ...]:
    """A tuple of non-empty texts; a lone text is a list with commas, never a list of characters."""
    if isinstance(given, str):
        return tuple(entry for part in given.split(",") if (entry := part.strip()))
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError
    entries = tuple(given)
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip():
            raise ValueError(f"{entry!r} is no name")
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
