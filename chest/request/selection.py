"""``Selection``: what of a finished request is kept, decided once, before the ring."""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chest.record import Outcome, Record
from chest.request.redaction import Redaction
from chest.request.sanitize import Sanitizer

SAMPLE_RATE: Final = "chest.sample_rate"
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
    ) -> None:
        self.excludes = _excluder(exclude_paths)
        """Whether a path is excluded; None when no path is."""
        self.excluded_paths = frozenset(glob for glob in exclude_paths if not _GLOB_CHARACTERS & set(glob))
        """Those that are excluded by their whole name: cheaper to ask for first."""
        self.is_sampled = sample < 1.0
        self.before_record = before_record
        self.redaction = Redaction((), ()) if redaction is None else redaction
        self.sanitizer = Sanitizer(self.redaction)
        self.tracks_all = tracked_vars is None
        self.keeps_everything = tracked_vars is None and sample >= 1.0 and before_record is None
        """Whether nothing is left out but what redaction hides."""
        self._tracked_anywhere = None if isinstance(tracked_vars, Mapping) else frozenset(tracked_vars or ())
        self._tracked_by_method = (
            {method.upper(): frozenset(names) for method, names in tracked_vars.items()}
            if isinstance(tracked_vars, Mapping)
            else {}
        )
        self._sample = sample
        self._keep_slower_ns = keep_slower_ms * 1e6

    def tracked(self, method: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Of these variables those that are kept for a request of this method."""
        names = self._tracked_anywhere
        if names is None:
            names = self._tracked_by_method.get(method, frozenset())
        return {name: value for name, value in variables.items() if name in names}

    def sample_rate(self, record_id: str, outcome: str, duration_ns: int) -> float | None:
        """The rate under which the request is kept, to be stored beside it; None when it is not kept.

        Failed and slow requests are always kept, at rate 1. The others by a hash of the id, which costs no lock, needs
        no seed after a fork, and gives the same answer whenever it is asked again.
        """
        if outcome != Outcome.OK or duration_ns >= self._keep_slower_ns:
            return 1.0
        return self._sample if zlib.crc32(record_id.encode()) < self._sample * 0x1_0000_0000 else None


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
