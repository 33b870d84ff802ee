"""``Redaction``: whose values are never kept, by name, and what a URL in a text loses."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

REDACTED: Final = "[REDACTED]"
"""What stands in the place of a value that is not kept."""

# OpenTelemetry, semantic conventions of `url.full`: these query parameters lose their values and keep their keys.
_SIGNATURES: Final = (
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
)

# Names come from requests, too: what is remembered of them is bounded in number and in length.
_REMEMBERED_NAMES: Final = 4096
_REMEMBERED_CHARACTERS: Final = 128
# A longer name is judged by its two ends, where globs such as `secret_*` and `*_token` look.
_JUDGED_CHARACTERS: Final = 1024

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LAST_PART: Final = re.compile(r"([^.\[\]]+)[.\[\]]*\Z")
_DASH_OUTSIDE_BRACKETS: Final = re.compile(r"(\[!?\]?[^\]]*\])|-")

# Each expression below leaves out, of every run it takes, the character that ends the run, so that no text makes it try
# one run twice. A URL begins at "://", or at a "/" where a word begins (a path with its query: `GET /reset?token=…`).
_URL: Final = re.compile(r"""(?:(?<![^\s"'<(\[=,])/|://)[^\s"<>]*""")
_PASSWORD: Final = re.compile(
    r"""(://(?!\[)[^\s/?#"<>:]*:)"""  # the user, as empty as in redis://:password@host; "[" begins an IPv6 address
    r"""(?:([^\s/?#"<>]+)"""  # a password as it should be written: everything up to the last "@" before the path
    r"""|(?!//|\d+(?:[\s/?#"<>]|\Z))((?:(?!://)[^\s"<>]){1,128}))@"""  # with a raw "/", "?" or "#" in it, and no port
)
_WITHOUT_PASSWORD: Final = rf"\1{REDACTED}@"
_PARAMETER: Final = re.compile(
    r"""([?&;#])([^\s=&;#?"'<>\\]+)"""
    r"""=([^\s&#;"'<>\\]+(?:;[^\s=&#;"'<>\\]*+(?!=))*)"""  # a ";" ends the value only where another key follows
)
_CLOSING: Final = ").,:;!]}"


class Redaction:
    """Which names hide their values, and what a URL loses; one object may serve any number of threads.

    Redaction goes by names. It finds no secret in a text that is no URL, none in a value whose name says nothing, and
    none that is percent-encoded inside another parameter: what must not be stored should not be recorded.

    :param patterns: globs (``*``, ``?``, ``[…]``) over the names to hide. Case does not count, and ``-`` equals ``_``.
        A name is looked at as it is, as snake case (``accessToken`` is ``access_token``), by its last part
        (``db.password`` and ``user[password]`` are ``password``) and without WSGI's ``HTTP_`` before a header's name.
    :param unredacted: globs over the names to keep although a pattern matches: the only exemption.
    """

    def __init__(self, patterns: Sequence[str], unredacted: Sequence[str]) -> None:
        self._names = _Names(patterns, unredacted)
        self._parameters = _Names((*patterns, *_SIGNATURES), unredacted)

    def hides(self, name: str) -> bool:
        """Whether the value under this name is not to be kept."""
        return self._names.match(name)

    def clean_url(self, text: str) -> str:
        """The text, in which every URL has lost its password and the values of secret and signed parameters.

        ``scheme://user:[REDACTED]@host/path?sig=REDACTED``; everything else of the text stays as it was. A user name
        without a password stays. Takes time in proportion to the length of the text, whatever is in it.
        """
        return _URL.sub(self._clean_match, text) if may_hold_secret(text) else text

    def _clean_match(self, match: re.Match[str]) -> str:
        url = match[0]
        if "@" in url and ":" in url:
            url = _PASSWORD.sub(_WITHOUT_PASSWORD, url)
        return _PARAMETER.sub(self._clean_parameter, url) if "=" in url else url

    def _clean_parameter(self, match: re.Match[str]) -> str:
        mark, key, value = match.groups()
        if not self._parameters.match(unquote(key) if "%" in key else key):
            return match[0]
        closing = value[len(value.rstrip(_CLOSING)) :]  # of the sentence around the URL
        return f"{mark}{key}=REDACTED{closing}"


def may_hold_secret(text: str) -> bool:
    """False where no URL in the text can hold a password or a parameter: cheaper than to look for them."""
    return "/" in text and ("@" in text or "=" in text)


class _Names:
    """Names that match globs, but for those that match the exempt ones; remembers its verdicts, a bounded number."""

    def __init__(self, globs: Sequence[str], exempt: Sequence[str]) -> None:
        self._globs = _compiled(globs)
        self._exempt = _compiled(exempt)
        self._verdicts: dict[str, bool] = {}

    def match(self, name: str) -> bool:
        if len(name) > _REMEMBERED_CHARACTERS:
            return self._judge(name)
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = self._judge(name)
            if len(self._verdicts) >= _REMEMBERED_NAMES:
                # Out goes the newest one: a flood of new names is remembered at the expense of itself.
                self._verdicts.popitem()
            self._verdicts[name] = verdict
        return verdict

    def _judge(self, name: str) -> bool:
        spellings = tuple(_spellings(name))
        return _matches(self._globs, spellings) and not _matches(self._exempt, spellings)


def _compiled(globs: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for all globs, over names in lower case with ``_`` for ``-``."""
    if not globs:
        return None
    unified = (_DASH_OUTSIDE_BRACKETS.sub(lambda match: match[1] or "_", glob.lower()) for glob in globs)
    return re.compile("|".join(fnmatch.translate(glob) for glob in unified))


def _matches(globs: re.Pattern[str] | None, spellings: Sequence[str]) -> bool:
    return globs is not None and any(map(globs.match, spellings))


def _spellings(name: str) -> Iterator[str]:
    """The ways in which one name is looked at."""
    if len(name) > _JUDGED_CHARACTERS:
        name = name[: _JUDGED_CHARACTERS // 2] + name[-_JUDGED_CHARACTERS // 2 :]
    name = name.replace("-", "_")
    lower = name.lower()
    yield lower
    snake = _HUMP.sub("_", name).lower()
    if snake != lower:
        yield snake
    if lower.startswith("http_"):
        yield lower[5:]
    last = _LAST_PART.search(snake)
    if last is not None and last[1] != snake:
        yield last[1]
