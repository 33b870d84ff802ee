"""``ForkSafeConnection``: one connection, opened when first needed, held, used by one thread at a time and by one process.

A connection must not come through a fork. Two processes on one socket would read each other's answers. SQLite is stricter
still ("How To Corrupt An SQLite Database File", 2.7): its locks belong to a process, what it remembers of them is copied,
and a child would write believing that it holds locks that only its parent has. So what is held is closed before a fork and
opened again when it is next needed. A fork that runs no hooks of Python (uWSGI's) is noticed at the next use.
"""

from __future__ import annotations

import os
import time
import weakref
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from chest.errors import ChestUnavailable
from chest.system.fork_guard import call_around_fork, call_in_child, check_fork
from chest.system.threads import new_lock

_FORK_WAIT_SECONDS: Final = 0.1
"""How long a fork waits, in all, for uses in hand to end: it may be a request that forks, and must not wait for a store."""
_FORK_WAIT_FOR_FILE_SECONDS: Final = 2.0
"""The same for what cannot be left in use. A child of a parent in a longer use cannot use SQLite for its whole life. A
write usually takes milliseconds, and at most one second if it waits for a lock; on a busy disk, making a file takes half a second."""

_held: Final[weakref.WeakSet[ForkSafeConnection[Any]]] = weakref.WeakSet()


class Connection(Protocol):
    """What is asked of a connection, SQLAlchemy's or a driver's."""

    def rollback(self) -> object: ...
    def close(self) -> object: ...


C = TypeVar("C", bound=Connection)
_Given = TypeVar("_Given", bound=Connection, contravariant=True)


class ConnectionTarget(Protocol[_Given]):
    """What has to be known of what a connection is to."""

    def identity(self) -> object:
        """Identity of the database; changes when the file or the server was replaced."""

    def is_lost(self, connection: _Given, /) -> bool:
        """True if the other end gave up a connection that was not used for a while; asked before every use."""

    @property
    def can_be_left_in_use(self) -> bool:
        """True if :meth:`abandon_after_fork` may be called even if the parent was using the connection at the fork."""

    def abandon_after_fork(self, connection: _Given, /) -> None:
        """In a forked child: let go of the parent's connection so that the parent notices nothing; raises nothing."""


class ForkSafeConnection(Generic[C]):
    """A connection for one use at a time, made anew after an error, after a fork, and when it or its place is lost.

    :param database: what the connection is to.
    :param connect: makes a connection that is ready to use.
    :param prepare: makes what has to be there before connecting.
    """

    def __init__(
        self, database: ConnectionTarget[C], connect: Callable[[], C], prepare: Callable[[], object] = lambda: None
    ) -> None:
        self._database, self._connect, self._prepare = database, connect, prepare
        self._connection: C | None = None
        self._identity: object = None
        self._user = 0
        """The thread that uses it; 0 if none does."""
        self._is_inherited = False
        self._lock = new_lock()
        call_in_child(self._note_fork)
        call_in_child(_forget_still)
        call_around_fork(_hold_all_still, _go_on)
        _held.add(self)

    @contextmanager
    def use(self) -> Iterator[C]:
        """The connection, for the block; what the block did not commit is undone. After an error it is given up."""
        with self._only_user():
            try:
                connection = self._ready()
                yield connection
                connection.rollback()
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Give the connection up; the next use makes another."""
        with self._only_user():
            self._drop()

    @contextmanager
    def _only_user(self) -> Iterator[None]:
        check_fork()
        if self._is_inherited:
            self.begin_in_child()
        with self._lock:
            self._user = get_ident()
            try:
                yield
            finally:
                self._user = 0

    def _ready(self) -> C:
        if self._connection is not None and (
            self._database.identity() != self._identity or self._database.is_lost(self._connection)
        ):
            self._drop()
        if self._connection is None:
            self._prepare()
            # Asked before, not after: what is replaced in between is then noticed at the next use, not never.
            self._identity = self._database.identity()
            self._connection = self._connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    @property
    def fork_wait_seconds(self) -> float:
        """How long a fork may wait for a use of this connection to end."""
        return _FORK_WAIT_SECONDS if self._database.can_be_left_in_use else _FORK_WAIT_FOR_FILE_SECONDS

    def hold_still(self, timeout_seconds: float) -> bool:
        """Close the connection and let no thread use it until :meth:`go_on`; False when a use did not end in time.

        One of this very thread, which a signal handler or a greenlet interrupted, cannot end: it is not waited for.
        """
        if self._user == get_ident() or not self._lock.acquire(timeout=timeout_seconds):
            return False
        self._drop()
        return True

    def go_on(self) -> None:
        """The end of :meth:`hold_still`."""
        self._lock.release()

    def _note_fork(self) -> None:
        """In a forked child, which may never use it: begun anew at its first use."""
        self._is_inherited = True

    @property
    def is_caught(self) -> bool:
        """In a forked child: whether the parent was using it at the fork, and it cannot be left then."""
        return bool(self._user) and self._is_inherited and not self._database.can_be_left_in_use

    def leave_parent(self) -> None:
        """In a forked child: begin anew. If no hook closed the connection before, the parent keeps it."""
        if self._is_inherited:
            connection, self._connection = self._connection, None
            self._lock, self._is_inherited, self._user = new_lock(), False, 0
            if connection is not None:
                self._database.abandon_after_fork(connection)

    def begin_in_child(self) -> None:
        """In a forked child, before the first use: leave the parent what is its own.

        If a connection in use cannot be left, all such begin anew at once: SQLite remembers locks by file, and two
        may hold the same.

        :raises ChestUnavailable: one was in use at the fork: this process can neither go on with it nor close it.
        """
        if self._database.can_be_left_in_use:
            self.leave_parent()
            return
        if any(connection.is_caught for connection in list(_held)):
            raise ChestUnavailable(
                f"Process {os.getpid()} was forked while its parent was writing, and cannot use a database without risk"
                " to it. Restart the process; and fork before the first request, or let the server run Python's fork"
                " hooks."
            )
        for connection in list(_held):
            connection.leave_parent()


_still: Final[dict[int, list[ForkSafeConnection[Any]]]] = {}
"""By the thread that forks: several may at once, and each lets go of what it holds."""


def _hold_all_still() -> None:
    began = time.monotonic()
    still = _still.setdefault(get_ident(), [])
    for connection in list(_held):
        if connection.hold_still(max(0.0, began + connection.fork_wait_seconds - time.monotonic())):
            still.append(connection)  # at once: a signal handler may raise while the next one is waited for


def _go_on() -> None:
    still = _still.pop(get_ident(), [])
    while still:
        still.pop().go_on()


def _forget_still() -> None:
    """In a forked child: what its parent held still is its parent's."""
    _still.clear()
