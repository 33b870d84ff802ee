"""``Selection``: what of a finished request is kept, decided once, before the ring."""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chest.native import agree
from chest.record.record import Outcome, Record
from chest.request.client.user import USER, UserIds
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Sanitizer, is_plain
from chest.settings.settings import Settings

SAMPLE_RATE: Final = "chest.sample_rate"
agree(SAMPLE_RATE=SAMPLE_RATE)
_GLOB_CHARACTERS: Final = frozenset("*?[")


class Selection:
    """Tracked variables, excluded paths, sampling, redaction and the user's last word on each record.

    :param tracked_vars: names of the variables to keep; a mapping of method to names (a method that is not named keeps
        none); None keeps all.
    :param exclude_paths: globs over the path (``/static/*``); a request of such a path is not looked at at all.
    :param redaction: which names and URL parameters lose their values.
    :param sample: the share of requests to keep, 0 to 1, of those that ended well and fast.
    :param keep_slower_ms: from this duration on (milliseconds) a request is kept whatever ``sample`` says.
    :param before_record: called with each record; returning False (and only False) drops it. An exception drops nothing.
    :param keeps_messages: whether the message of an exception is kept beside its class.
    :param keeps_stacktraces: whether its traceback is.
    :param user_ids: how the id of a user is kept.
    """

    def __init__(
        self,
        *,
        tracked_vars: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        exclude_paths: Sequence[str] = (),
        redaction: Redaction | None = None,
        sample: float = 1.0,
        keep_slower_ms: float = 1000.0,
        before_record: Callable[[Record], object] | None = None,
        keeps_messages: bool = True,
        keeps_stacktraces: bool = True,
        user_ids: UserIds | None = None,
    ) -> None:
        self.excludes = _excluder(exclude_paths)
        """Whether a path is excluded; None when no path is."""
        self.is_sampled = sample < 1.0
        self.before_record = before_record
        self.keeps_messages = keeps_messages
        self.keeps_stacktraces = keeps_stacktraces
        self.user_ids = UserIds() if user_ids is None else user_ids
        self.redaction = Redaction((), ()) if redaction is None else redaction
        self.sanitizer = Sanitizer(self.redaction)
        self.tracked_names = _tracked_names(tracked_vars)
        """The names to keep, or by method the names to keep, under None those of any other; None if all are."""
        self._sample = sample
        self._keep_slower_ns = keep_slower_ms * 1e6

    @classmethod
    def of(cls, settings: Settings) -> Selection:
        """What these settings say."""
        return cls(
            tracked_vars=settings.tracked_vars,
            exclude_paths=settings.exclude_paths,
            redaction=Redaction(settings.redact, settings.unredacted),
            sample=settings.sample,
            keep_slower_ms=settings.keep_slower_ms,
            before_record=settings.before_record,
            keeps_messages=settings.exception_messages,
            keeps_stacktraces=settings.exception_stacktraces,
            user_ids=UserIds(settings.user_ids, settings.user_ids_key),
        )

    def is_excluded(self, path: Any) -> bool:
        """True if a request of this path is not looked at."""
        try:
            return self.excludes is not None and bool(self.excludes(path))
        except TypeError:  # no text, and nothing that a set could hold
            return False

    def tracked(self, method: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Of these variables those that are kept for a request of this method."""
        names = self.tracked_names
        if isinstance(names, dict):
            names = names.get(method, names[None])
        return variables if names is None else {name: value for name, value in variables.items() if name in names}

    def clean_user(self, user_id: object) -> str | None:
        """The id of a user as it is kept, "" if none is; None if it has to be cleaned as variables are."""
        kept, redaction = self.user_ids.kept(user_id), self.redaction
        if redaction.hides(USER):
            return None
        is_clean = is_plain(kept) or redaction.clean_text(kept, keeps_shapes=redaction.exempts(USER)) == kept
        return kept if is_clean else None

    def sample_rate(self, record_id: str, outcome: str, duration_ns: int) -> float | None:
        """The rate under which the request is kept, to be stored beside it; None when it is not kept.

        Failed and slow requests are always kept, at rate 1. The others by a hash of the id, which costs no lock, needs
        no seed after a fork, and gives the same answer whenever it is asked again.
        """
        # A websocket is no slow request for being open for hours.
        if outcome != Outcome.UPGRADED and (outcome != Outcome.OK or duration_ns >= self._keep_slower_ns):
            return 1.0
        return self._sample if zlib.crc32(record_id.encode()) < self._sample * 0x1_0000_0000 else None


def _tracked_names(
    tracked_vars: Sequence[str] | Mapping[str, Sequence[str]] | None,
) -> frozenset[str] | dict[str | None, frozenset[str]] | None:
    if isinstance(tracked_vars, Mapping):
        return {None: frozenset(), **{method.upper(): frozenset(names) for method, names in tracked_vars.items()}}
    return None if tracked_vars is None else frozenset(tracked_vars)


def _excluder(globs: Sequence[str]) -> Callable[[Any], object] | None:
    """The cheapest test that is right for these globs: a set of paths, prefixes, or one compiled expression."""
    if not globs:
        return None
    exact = {glob for glob in globs if not _GLOB_CHARACTERS & set(glob)}
    prefixes = tuple(glob[:-1] for glob in globs if glob.endswith("*") and not _GLOB_CHARACTERS & set(glob[:-1]))
    rest = [glob for glob in globs if glob not in exact and glob[:-1] not in prefixes]
    if rest:
        matches = re.compile("|".join(f"(?:{fnmatch.translate(glob)})" for glob in globs)).match
        return lambda path: matches(str(path))
    if not prefixes:
        return frozenset(exact).__contains__
    return lambda path: path in exact or str(path).startswith(prefixes)
