"""``Redaction``: the names whose values are never kept, and the removal of secrets from texts."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from typing import Final

from chest.record.secret_names import is_signature, snake_case, sounds_secret
from chest.record.secret_text import without_secrets
from chest.settings.settings import SECRETS

# Names may also come from requests: how many are remembered, and how long, is bounded.
_REMEMBERED_NAMES: Final = 4096
_REMEMBERED_CHARACTERS: Final = 128
# A longer name is judged by its two ends, which globs such as `secret_*` and `*_token` match.
_JUDGED_CHARACTERS: Final = 1024
# From where a key begins, and without going back: a text may be long, and all one word. For PyPy `x{1,128}+` would be `x{0,128}+`.
_KEY: Final = re.compile(r"""(?<![^\s=&;#?"'<>(,{\\%])([^\s=&;#?"'<>(,{\\%][^\s=&;#?"'<>(,{\\%]{0,127}+)=""")
_LAST_PART: Final = re.compile(r"([^.\[\]]+)[.\[\]]*\Z")
_DASH_OUTSIDE_BRACKETS: Final = re.compile(r"(\[!?\]?[^\]]*\])|-")


class Redaction:
    """Which names hide their values, and what a text loses; one object may serve any number of threads.

    A secret whose name says nothing and that has no known shape is not found: what must not be stored should not be recorded.

    :param patterns: globs (``*``, ``?``, ``[…]``) over the names to hide, and :data:`SECRETS` for all that sound secret. Case
        does not count, and ``-`` equals ``_``. A glob looks at a name as it is, as snake case (``accessToken`` is
        ``access_token``), at its last part (``db.plan`` and ``user[plan]`` are ``plan``) and without WSGI's ``HTTP_`` before a
        header's name.
    :param unredacted: globs over the names to keep, whatever their name or the shape of their value: the only exemption.
    """

    def __init__(self, patterns: Sequence[str], unredacted: Sequence[str]) -> None:
        self._names = _Names(patterns, unredacted)
        self.plain_keys: set[str] = set()
        """Keys that were seen before a ``=`` and whose values are kept: the compiled part looks no further for those."""

    def hides(self, name: str) -> bool:
        """True if the value under this name is not to be kept."""
        return self._names.match(name)

    def exempts(self, name: str) -> bool:
        """True if ``unredacted`` names it."""
        return self._names.is_exempt(name)

    def clean_text(self, text: str, *, keeps_shapes: bool = False) -> str:
        """The text without the passwords, secret parameters and other secrets in it, see :func:`without_secrets`.

        :param keeps_shapes: leave what only its shape makes a secret: a JWT, a hash, a card number.
        """
        return without_secrets(text, self._hides_parameter, keeps_shapes)

    def learn_keys(self, text: str) -> None:
        """Have :attr:`plain_keys` hold the keys in a text whose values are kept."""
        for key in _KEY.findall(text) if "=" in text else ():
            if len(self.plain_keys) < _REMEMBERED_NAMES and not self._hides_parameter(key):
                self.plain_keys.add(key)

    def _hides_parameter(self, name: str) -> bool:
        return self._names.match(name) or (is_signature(name) and not self._names.is_exempt(name))


class _Names:
    """Names that match globs, but for those that match the exempt ones; remembers its verdicts, a bounded number."""

    def __init__(self, patterns: Sequence[str], exempt: Sequence[str]) -> None:
        self._hides_secrets = SECRETS in patterns
        self._globs = _compiled([glob for glob in patterns if glob != SECRETS])
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

    def is_exempt(self, name: str) -> bool:
        return self._exempt is not None and _matches(self._exempt, tuple(_spellings(name)))

    def _judge(self, name: str) -> bool:
        is_named = (self._hides_secrets and sounds_secret(name)) or _matches(self._globs, tuple(_spellings(name)))
        return is_named and not self.is_exempt(name)


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
    snake = snake_case(name)
    if snake != lower:
        yield snake
    if lower.startswith("http_"):
        yield lower[5:]
    last = _LAST_PART.search(snake)
    if last is not None and last[1] != snake:
        yield last[1]
