"""``NatsConnections``: connections of this process that are kept for the next call."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chest.chests.nats.connection import NatsConnection
from chest.chests.nats.url import NatsTarget
from chest.errors import ChestUnavailable
from chest.system.threads import socket_home

__all__ = ["NatsConnections"]

_MOST_KEPT: Final = 4


class NatsConnections:
    """Any number of threads may take connections; a fork's child makes its own.

    :param target: where to, and as whom.
    """

    def __init__(self, target: NatsTarget) -> None:
        self._target = target
        self._seconds = target.timeout_seconds
        self._first = 0
        self._kept: dict[tuple[int, int], list[NatsConnection]] = {}
        # A socket that is collected open is warned of.
        weakref.finalize(self, _close_own, self._kept).atexit = False

    @contextmanager
    def use(self) -> Iterator[NatsConnection]:
        """A connection for the block; given up after an error."""
        connection = self.take()
        try:
            yield connection
        except BaseException as error:
            self.note(connection, error)
            connection.close()
            raise
        self.give_back(connection)

    def take(self, more_seconds: float = 0.0) -> NatsConnection:
        """A connection for one user, whose calls end within the timeout and so many seconds more; the next to ask gets another one."""
        home = socket_home()
        if home not in self._kept:
            _leave_parent(self._kept)
        kept = self._kept.setdefault(home, [])
        seconds = self._seconds + more_seconds
        while kept:
            connection = kept.pop()
            connection.begin(seconds)
            if connection.revive():
                return connection
            connection.close()
        connection = NatsConnection(self._target, seconds, self._first)
        self._first = connection.host
        return connection

    def note(self, connection: NatsConnection, error: BaseException) -> None:
        """Have the next connection begin with the next host if this one did not do what it was asked."""
        if isinstance(error, ChestUnavailable):
            self._first = (connection.host + 1) % len(self._target.hosts)

    def begin(self, connection: NatsConnection, more_seconds: float = 0.0) -> None:
        """The time of another call begins on a connection that was taken."""
        connection.begin(self._seconds + more_seconds)

    def give_back(self, connection: NatsConnection) -> None:
        """Keep a connection on which nothing is under way, or close it if there are enough."""
        kept = self._kept.setdefault(socket_home(), [])
        if len(kept) < _MOST_KEPT:
            kept.append(connection)
        else:
            connection.close()

    def wait_at_most(self, seconds: float) -> None:
        """Have no call take longer than so long in all."""
        self._seconds = min(self._seconds, seconds)

    def close(self) -> None:
        """Close what was made here and is not in use; the next call makes others."""
        for connection in self._kept.pop(socket_home(), ()):
            connection.close()


def _close_own(kept: dict[tuple[int, int], list[NatsConnection]]) -> None:
    own_pid, _ = socket_home()
    for (pid, _), connections in kept.items():
        if pid == own_pid:
            for connection in connections:
                connection.close()


def _leave_parent(kept: dict[tuple[int, int], list[NatsConnection]]) -> None:
    """In a forked child: close the descriptors that came with the fork. Those of a hub of gevent's stay as they are."""
    own_pid, thread = socket_home()
    for home in [home for home in kept if home[0] != own_pid and not thread]:
        for connection in kept.pop(home):
            connection.close()
