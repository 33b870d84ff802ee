"""``ProcessMark``: a byte that reads 0 in a forked child, so that a fork is noticed without asking the kernel."""

from __future__ import annotations

import mmap
import os
import sys
from typing import Protocol

MADV_WIPEONFORK = 18
"""Linux 4.14 and later (madvise(2)): the page reads as zeros in a child. Not named by the ``mmap`` module before 3.15."""


class ProcessMark(Protocol):
    """``mark[0]`` is 1 where this process set it, and 0 before that and in every process forked since."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class PidMark:
    """The mark for systems without ``MADV_WIPEONFORK``: compares the process id, a system call of some 100 ns."""

    def __init__(self) -> None:
        self._pid = 0

    def __getitem__(self, index: int, /) -> int:
        return int(self._pid == os.getpid())

    def __setitem__(self, index: int, value: int, /) -> None:
        self._pid = os.getpid() if value else 0


def new_process_mark() -> ProcessMark:
    """A mark that reads 0 until this process sets it.

    Servers that fork without calling Python's fork hooks (uWSGI) are why a hook alone is not enough. On Linux the mark is
    one byte of a private anonymous page that the kernel wipes in a child: reading it costs 15 ns.
    """
    if not sys.platform.startswith("linux"):
        return PidMark()
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(MADV_WIPEONFORK)
    except (OSError, ValueError):
        page.close()
        return PidMark()
    return page
