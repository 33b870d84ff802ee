"""Every error of Chest, under one root; each message says what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


class ChestError(Exception):
    """The root: ``except ChestError`` catches everything this package raises on purpose."""


class SettingsError(ChestError, ValueError):
    """An option, an argument or a chest URL that is invalid; raised at start, never in a request."""


class DirectoryError(ChestError, OSError):
    """A directory for ring files that cannot be used: not ours, not private, not writable."""


class MissingDependencyError(ChestError, ImportError):
    """A package that a chest or a command needs is not installed, or cannot be loaded by this interpreter.

    The message holds the ``pip install`` line, or says what prevents it.
    """


class ChestUnavailable(ChestError):
    """A store cannot take records now and may later: it is down, locked or full, or an operator has to set it right.

    Its subclasses say what an operator has to mend; delivery waits for all of them alike.

    :param message: what happened and what to do; never holds a password or token.
    :param retry_after: seconds after which the store asked to be tried again, if it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SchemaMismatch(ChestUnavailable):
    """The existing table does not fit; records are delivered after it has been corrected or renamed."""


class LoginRefused(ChestUnavailable):
    """The store does not let us in: a wrong user, password or token, or one without the right to write here."""


class UnknownDatabase(ChestUnavailable):
    """The server has no database, bucket or path of the name that the URL gives."""


class UnknownHost(ChestUnavailable):
    """The host name of the URL leads to no address."""


class TLSRefused(ChestUnavailable):
    """The connection is not encrypted as the URL asks: the server speaks no TLS, demands it, or shows a bad certificate."""


class RecordRejected(ChestError):
    """A store will never take these records as they are: trying again would only fail again.

    :param message: why the store refused.
    :param ids: the ``Record.id`` of each refused record if the store names them, else empty (then any of the batch).
    """

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class ChestWriteError(ChestError):
    """A request's record could not be written to all the chests that were to have it before its response was returned.

    Raised in a request only if ``raise_exceptions=True`` asked for it; the first chest's error is the cause.

    :param failures: the label of each chest that failed, and what it raised; every chest was tried.
    """

    def __init__(self, failures: Sequence[tuple[str, Exception]]) -> None:
        # What a user's chest raises may hold anything; what ours raise holds no secret.
        told = [
            f"{name}: {str(error).rstrip('.') if isinstance(error, ChestError) else type(error).__name__}"
            for name, error in failures
        ]
        super().__init__(f"{'; '.join(told)}. With raise_exceptions=False the record would wait, and no request fail.")
        self.failures = tuple(failures)


class RecordNotFound(ChestError, LookupError):
    """No record has the id that was given, or several requests have ids that begin so."""


class FilterError(ChestError, ValueError):
    """An invalid filter; the message shows the place, and what was expected there.

    :param text: the whole filter.
    :param position: of the character that is wrong; behind the last one if something is missing.
    :param reason: what is wrong, and what to write.
    :param suggestion: the whole filter as it was perhaps meant; None if nothing is near.
    """

    def __init__(self, text: str, position: int, reason: str, suggestion: str | None = None) -> None:
        line, reason = (
            "".join(character if character.isprintable() else " " for character in each) for each in (text, reason)
        )
        begin = max(0, position - _SHOWN_BEFORE)
        shown = line[begin : position + _SHOWN_BEHIND]
        super().__init__(f"{reason}\n  {shown}\n  {' ' * (position - begin)}^")
        self.text, self.position, self.reason, self.suggestion = text, position, reason, suggestion


_SHOWN_BEFORE = 60
_SHOWN_BEHIND = 20
"""Characters of a filter around the one that is wrong."""
