"""The fork guard: notices that this process is a forked child, and tells the objects that have to begin anew in one.

No object compares process ids by itself to begin anew: it subscribes here. A child that is forked with Python's hooks tells its objects at once. A server may fork
without them (uWSGI does): then the first object that calls :func:`check` finds that the kernel has wiped a byte, and all are told
before it goes on. What is called in a child only forgets: it neither logs nor waits nor makes a file, a thread or a connection,
as the child may serve no request ever, and was perhaps forked while another thread held any lock.
"""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from types import MethodType
from typing import Any, Final, Protocol

from chest.system.threads import new_reentrant_lock

MADV_WIPEONFORK = 18
"""Linux 4.14 and later (madvise(2)): the page reads as zeros in a child. Not named by the ``mmap`` module before 3.15."""

Tell = Callable[[], object]
_Register = dict[object, Callable[[], Tell | None]]
"""By number, or for a function by itself: a weak reference to a method, else what gives the function."""


class ForkGuard(Protocol):
    """``guard[0]`` is 1 in the process that set it, and 0 before that and in every process forked since."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class PidGuard:
    """The guard for systems without ``MADV_WIPEONFORK``: compares the process id, a system call of some 100 ns."""

    def __init__(self) -> None:
        self._pid = 0

    def __getitem__(self, index: int, /) -> int:
        return int(self._pid == os.getpid())

    def __setitem__(self, index: int, value: int, /) -> None:
        self._pid = os.getpid() if value else 0


def new_fork_guard() -> ForkGuard:
    """A guard that reads 0 until this process sets it.

    On Linux it is one byte of a private anonymous page that the kernel wipes in a child, hooks or no hooks: reading it costs 15 ns.
    """
    if not sys.platform.startswith("linux"):
        return PidGuard()
    if not _kernel_wipes():
        return PidGuard()
    return _wiped_page()


@cache  # of a process and its children: the kernel stays the same
def _kernel_wipes() -> bool:
    """True if the kernel says that it will wipe a page of which that was asked.

    An emulator (qemu's user mode) answers ``madvise`` with success and does nothing; then the kernel does not list the page as one.
    """
    try:
        before = _kib_to_wipe()
        page = _wiped_page()
        try:
            return _kib_to_wipe() > before
        finally:
            page.close()
    except (OSError, ValueError):
        return False


def _wiped_page() -> mmap.mmap:
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(MADV_WIPEONFORK)
    except (OSError, ValueError):
        page.close()
        raise
    return page


def _kib_to_wipe() -> int:
    """KiB of this process the kernel will wipe in a child (proc_pid_smaps(5): ``wf``)."""
    size = total = 0
    with open("/proc/self/smaps", "rb") as mappings:
        for line in mappings:
            if line.startswith(b"Size:"):
                size = int(line.split()[1])
            elif line.startswith(b"VmFlags:") and b"wf" in line.split():
                total += size
    return total


class Forks:
    """The objects that are told of a fork of this process. One serves the whole process; more are for tests."""

    def __init__(self) -> None:
        self._guard: ForkGuard | None = None
        self._pid = self._telling_in = self._generation = 0
        self._locks: dict[int, Any] = {}
        self._numbers = itertools.count()
        self._in_child: _Register = {}
        self._before: _Register = {}
        self._in_parent: _Register = {}

    def call_in_child(self, begin_anew: Tell) -> None:
        """Have this called once in every forked child, in the order of registration.

        A method does not keep its object alive. The same function is registered once.
        """
        self._watch()
        self._register(self._in_child, begin_anew)

    def call_around(self, before: Tell, after_in_parent: Tell) -> None:
        """Have these called in the parent, around a fork that runs Python's hooks."""
        self._watch()
        self._register(self._before, before)
        self._register(self._in_parent, after_in_parent)

    def check(self) -> None:
        """Tell those that registered, if this process was forked and they do not know. Called before an object uses what it has."""
        if self._guard is not None and not self._guard[0]:
            with suppress(Exception):  # of an object that was told: a request asks here
                self._tell_child()

    def generation(self) -> int:
        """Which process this is in a line of parents and children: another number after each fork.

        For an object that compares it with the number under which it was made. It is right while others are still being told.
        """
        self._watch()
        return self._generation

    def _watch(self) -> None:
        """Once, when the first registers: an import has no effect."""
        if self._guard is not None:
            self.check()
            return
        self._pid = os.getpid()
        guard = new_fork_guard()
        guard[0] = 1
        self._guard = guard
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: _call(self._before),
                after_in_parent=lambda: _call(self._in_parent),
                after_in_child=self._tell_child,
            )

    def _register(self, register: _Register, tell: Tell) -> None:
        if isinstance(tell, MethodType):
            number, function = next(self._numbers), tell.__func__
            # No WeakMethod: when the interpreter ends, one of an object that lives until then prints an error of its own.
            weak = weakref.ref(tell.__self__, lambda _: register.pop(number, None))
            register[number] = lambda: None if (alive := weak()) is None else MethodType(function, alive)
        else:
            register[tell] = lambda: tell

    def _tell_child(self) -> None:
        """Tell every object once, also if another one raises; the first error is raised after that, for Python to print."""
        errors: list[Exception] = []
        own_pid = os.getpid()
        with self._locks.setdefault(own_pid, new_reentrant_lock()):  # another one than the parent's threads may hold
            if own_pid in (self._pid, self._telling_in):
                return
            self._telling_in = own_pid
            self._generation += 1
            try:
                self._locks = {own_pid: self._locks[own_pid]}
                for tell in _alive(self._in_child):
                    try:
                        tell()
                    except Exception as error:  # noqa: BLE001 - e.g. MemoryError; the others have to forget all the same
                        errors.append(error)
                self._pid = own_pid
                if self._guard is not None:
                    self._guard[0] = 1
            finally:
                self._telling_in = 0
        if errors:
            raise errors[0]


def _call(register: _Register) -> None:
    for tell in _alive(register):
        tell()


def _alive(register: _Register) -> Iterator[Tell]:
    for reference in list(register.values()):
        tell = reference()
        if tell is not None:
            yield tell


_forks: Final = Forks()
call_in_child = _forks.call_in_child
call_around_fork = _forks.call_around
check_fork = _forks.check
process_generation = _forks.generation
