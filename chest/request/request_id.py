"""The request's id: its sources, which values are accepted, and how one is made."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

from chest.native import IS_NATIVE, RandomIds, agree
from chest.record.counters import Counters

MOST_CHARACTERS: Final = 255
agree(ID_CHARACTERS=MOST_CHARACTERS)
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ECHOABLE: Final = re.compile(r"[\x21-\x7e]{1,255}")


class RequestIds(RandomIds):
    """Makes ids as ``str(uuid.uuid4())`` does: 122 random bits (RFC 9562, section 5.4).

    The compiled part makes them of random bytes that it gets for many at once. After a fork :meth:`renew` must be called, else
    parent and child make the same ids of those.
    """

    def new(self) -> str:
        """An id."""
        return str(uuid.uuid4())

    def renew(self) -> None:
        """Forget what was there before a fork."""
        if IS_NATIVE:
            self._forget()


def accepted(header: object) -> str | None:
    """An incoming id if it is one that we take (letters, digits, ``.``, ``_``, ``-``; at most 128), else None.

    Anything else is ignored and not stored: ids end in logs, headers and file names.
    """
    return header if isinstance(header, str) and _ACCEPTED.fullmatch(header) is not None else None


def is_echoable(request_id: object) -> bool:
    """True if an id may stand in a response header: visible ASCII only (PEP 3333 forbids control characters)."""
    return isinstance(request_id, str) and _ECHOABLE.fullmatch(request_id) is not None


def generated(generator: Callable[[], object], counters: Counters) -> str | None:
    """What the user's generator returns, as text; None, and counted, when it raises or returns nothing."""
    try:
        value = generator()
        if value:
            return str(value)[:MOST_CHARACTERS]
    except Exception:  # noqa: BLE001 - the user's code must not fail the request
        pass
    counters.add("request_id_generator_failed")
    return None
