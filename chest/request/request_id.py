"""The user's id of a request: where it comes from, what of it is accepted, and a fast way to make one."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from chest.counters import Counters
from chest.speedups import IS_NATIVE, RandomIds

MOST_CHARACTERS: Final = 255
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ECHOABLE: Final = re.compile(r"[\x21-\x7e]{1,255}")
_IDS_AT_ONCE: Final = 8
"""From one ``os.urandom``: a system call that gives up the GIL, dear when every request makes it. Not more of them, because
one request pays for all: 4 µs."""
_IDS_IN_STOCK: Final = 1024
"""What a thread that has time keeps ready: enough for 20,000 requests a second until it comes again."""
_IDS_A_BLOCK: Final = 64
"""How many it makes at once: 0.3 µs each, where a request would pay 0.5; with more, arithmetic on long numbers takes longer."""
_split: Final = struct.Struct("8s4s4s4s12s").iter_unpack


class RequestIds(RandomIds):
    """Makes ids in the form and with the randomness of ``str(uuid.uuid4())``: 122 random bits (RFC 9562, section 5.4).

    After a fork :meth:`renew` must be called, else parent and child hand out the same ids.
    """

    def __init__(self) -> None:
        self.pool: list[str] = []
        """Those that are ready; always this one list."""
        self.pop: Callable[[], str] = self.pool.pop
        """A ready id; raises IndexError when :meth:`refill` has to be called instead. One C call, atomic in any thread."""

    def refill(self) -> str:
        """Make more ids, and return one."""
        ids = _uuid4s(_IDS_AT_ONCE)
        last = ids.pop()
        self.pool.extend(ids)
        return last

    def stock(self) -> None:
        """Make as many as may be needed until the next call, in the time of a thread that nobody waits for.

        Where requests are served in C they need none: there it costs less to make one than to fetch one from a stock.
        """
        if IS_NATIVE:
            return
        for _ in range((_IDS_IN_STOCK - len(self.pool)) // _IDS_A_BLOCK):
            self.pool.extend(_uuid4s(_IDS_A_BLOCK))

    def new(self) -> str:
        """An id."""
        try:
            return self.pop()
        except IndexError:
            return self.refill()

    def renew(self) -> None:
        """Forget what was made before a fork."""
        self.pool.clear()
        if IS_NATIVE:
            self._forget()


def _uuid4s(count: int) -> list[str]:
    """So many ids; version and variant are set in all of them by two operations on one integer."""
    size = 16 * count
    bits = int.from_bytes(os.urandom(size), "big") & _mask("ffffffffffff0fff3fffffffffffffff", count)
    digits = (bits | _mask("00000000000040008000000000000000", count)).to_bytes(size, "big").hex().encode()
    return b" ".join(map(b"-".join, _split(digits))).decode().split()


@lru_cache(maxsize=8)
def _mask(digits: str, count: int) -> int:
    return int(digits * count, 16)


def accepted(header: object) -> str | None:
    """An incoming id if it is one that we take (letters, digits, ``.``, ``_``, ``-``; at most 128), else None.

    Anything else is ignored and not stored: ids end in logs, headers and file names.
    """
    return header if isinstance(header, str) and _ACCEPTED.fullmatch(header) is not None else None


def is_echoable(request_id: object) -> bool:
    """Whether an id may stand in a response header: visible ASCII only (PEP 3333 forbids control characters)."""
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
