"""Files that are mapped without a descriptor, in C and in Python: ``map_file``; ``hold_file`` keeps what is locked.

An ``mmap.mmap`` of a file keeps a descriptor of its own. A ring has 17 mappings, and a process that becomes a daemon closes all
descriptors that it finds. So the mapping is made of anonymous memory, and the file is mapped over it.
"""

from __future__ import annotations

import errno
import mmap
import operator
import os
import sys
from functools import cache, partial
from typing import Any, Final

from chest import native

_MAP_FIXED: Final = 0x10
_WRITTEN_ANEW: Final = frozenset({0x9123683E, 0x2FC12FC1, 0xCA451A4E, 0xF2F52010, 0x3434})
"""statfs(2) of btrfs, ZFS, bcachefs, F2FS and NILFS: each write takes new room, and on a full disk a mapped page is a SIGBUS."""
_MAP_FAILED: Final = 2 ** (8 * (8 if sys.maxsize > 2**32 else 4)) - 1


def map_file_in_python(mapping: mmap.mmap, descriptor: int, offset: int, keeps: bool, /) -> None:
    """Map a part of a file over a mapping that is there; the descriptor may be closed then. Raises OSError.

    :param offset: bytes; a multiple of ``mmap.ALLOCATIONGRANULARITY``.
    :param keeps: whether the file gets what the mapping holds; no other thread's write comes between that and the change.
    """
    libc = _libc()
    size = len(mapping)
    view = libc.c_char.from_buffer(mapping)
    at = libc.addressof(view)
    arguments = size, mmap.PROT_READ | mmap.PROT_WRITE
    steps = [partial(libc.mmap, at, *arguments, mmap.MAP_SHARED | _MAP_FIXED, descriptor, offset)]
    copy = 0
    if keeps:
        if not can_keep_in_python():
            raise OSError(errno.ENOTSUP, "memory in use stays where it is, as nothing holds other threads off here")
        copy = _checked(libc, libc.mmap(0, *arguments, mmap.MAP_SHARED, descriptor, offset))
        steps.insert(0, partial(libc.memmove, copy, at, size))
    try:
        # One call of the interpreter, which hands its lock to no thread in between.
        _checked(libc, list(map(operator.call, steps))[-1])
    finally:
        del view, steps
        if copy:
            libc.munmap(copy, size)


def can_keep_in_python() -> bool:
    """True if what a mapping holds can become a file's: calls of C have to hold other threads off."""
    return bool(_libc().keeps_lock and getattr(sys, "_is_gil_enabled", lambda: True)())


def _checked(libc: Any, address: int) -> int:
    if address == _MAP_FAILED:
        error = libc.get_errno()
        raise OSError(error, os.strerror(error))
    return address


def hold_file_in_python(descriptor: int, /) -> int:
    """Keep an open file, and with it its locks, for this process alone until :func:`release_file`; gives an address.

    A mapping keeps the file open when all its descriptors are closed, and a forked child does not get this one.
    """
    libc = _libc()
    address = _checked(libc, libc.mmap(0, mmap.PAGESIZE, 0, mmap.MAP_SHARED, descriptor, 0))
    libc.madvise(address, mmap.PAGESIZE, mmap.MADV_DONTFORK)
    return address


def release_file_in_python(address: int, /) -> None:
    """Let go of the mapping. Not for a forked child: nothing is mapped there, or something else by now."""
    _libc().munmap(address, mmap.PAGESIZE)


def has_lasting_room_in_python(descriptor: int, /) -> bool:
    """True if a file system keeps the room that a file was given also for the next write of the same page."""
    libc = _libc()
    answer = libc.create_string_buffer(256)
    if not sys.platform.startswith("linux") or libc.fstatfs(descriptor, libc.addressof(answer)) != 0:
        return True
    return libc.c_ulong.from_buffer(answer).value & 0xFFFFFFFF not in _WRITTEN_ANEW


@cache
def _libc() -> Any:
    """The functions of the C library that are used; loaded for the first ring, as not every program needs them."""
    import ctypes
    from types import SimpleNamespace

    with_lock = getattr(ctypes, "PyDLL", None)  # calls that keep the interpreter's lock; PyPy has none
    library = (with_lock or ctypes.CDLL)(None, use_errno=True)
    for name, result, arguments in (
        ("mmap", ctypes.c_size_t, "znnnnl"),
        ("munmap", ctypes.c_int, "zz"),
        ("madvise", ctypes.c_int, "zzn"),
        ("memmove", ctypes.c_size_t, "zzz"),
        ("fstatfs", ctypes.c_int, "nz"),
    ):
        kinds = {"z": ctypes.c_size_t, "n": ctypes.c_int, "l": ctypes.c_long}
        function = getattr(library, name)
        function.restype, function.argtypes = result, [kinds[letter] for letter in arguments]
    return SimpleNamespace(
        keeps_lock=with_lock is not None,
        mmap=library.mmap, munmap=library.munmap, madvise=library.madvise, memmove=library.memmove, fstatfs=library.fstatfs,
        create_string_buffer=ctypes.create_string_buffer, c_ulong=ctypes.c_ulong,
        c_char=ctypes.c_char, addressof=ctypes.addressof, get_errno=ctypes.get_errno,
    )  # fmt: skip


map_file: Final = native.map_file if native.IS_NATIVE else map_file_in_python
hold_file: Final = native.hold_file if native.IS_NATIVE else hold_file_in_python
release_file: Final = native.release_file if native.IS_NATIVE else release_file_in_python


def has_lasting_room(descriptor: int) -> bool:
    """True if no full disk can make a mapped page of this file, which has its room, end the process: the compiled part sees to it."""
    return native.IS_NATIVE or has_lasting_room_in_python(descriptor)
