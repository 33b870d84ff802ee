"""``Trouble``: what each event does to the service and its store, and how it ends again."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.field.parts.clock import Clock
from tests.field.parts.service import Service
from tests.field.parts.stores import SQLiteStore, Store
from tests.field.plan import Event
from tests.support import wait_until

_STEPS_SECONDS: Final = (-86_400, 3600, 40 * 86_400, -3600)


class Trouble:
    """Events for one service and its store.

    :param disk: the small file system that fills up; None if the plan has no such event.
    :param clock: what the processes go by; None if the plan does not step it.
    """

    def __init__(
        self, service: Service, store: Store, disk: Path | None, clock: Clock | None, chance: random.Random
    ) -> None:
        self._service = service
        self._store = store
        self._disk = disk
        self._clock = clock
        self._chance = chance
        self.killed: set[int] = set()
        """The processes that were given no time for a last word."""

    def of(self, event: Event) -> AbstractContextManager[None]:
        """The event begins with the block, and ends with it."""
        return _EVENTS[event](self)

    def _a_worker(self) -> int:
        """One of those that have answered; a moment later it may have ended by itself."""
        found: list[int] = []

        def is_one_there() -> bool:
            self._service.ensure_running()
            # A child that is forked for a request is seldom there when it has told of itself.
            forked = self._service.forked() if self._service.forks_for_each else []
            found.extend(self._service.workers() or forked)
            return bool(found)

        wait_until(is_one_there, 60)
        return self._chance.choice(found)

    @contextmanager
    def killed_(self) -> Iterator[None]:
        """One worker, or all that the server is; and sometimes the process that drains."""
        if self._chance.random() < 0.3:
            self.killed.update(self._service.processes())
            self._service.restart(signal.SIGKILL)
        else:
            self._signal(self._a_worker(), signal.SIGKILL)
        if self._service.drain is not None and self._chance.random() < 0.5:
            self._signal(self._service.drain.pid, signal.SIGKILL)
        yield

    @contextmanager
    def terminated(self) -> Iterator[None]:
        """The server is ended and started again, as at a deploy."""
        self.killed.update(self._service.processes())  # those that take too long
        self._service.restart(signal.SIGTERM)
        yield

    @contextmanager
    def hung_up(self) -> Iterator[None]:
        """A server that knows it loads the application anew; another ends."""
        self.killed.update(self._service.processes())
        self._signal(self._service.server.process.pid, signal.SIGHUP)
        yield

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A worker stands still for the whole of the block."""
        pid = self._a_worker()
        self._signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pid, signal.SIGCONT)

    @contextmanager
    def store_killed(self) -> Iterator[None]:
        """The store is away for the whole of the block."""
        self._store.kill()
        try:
            yield
        finally:
            self._store.revive()

    @contextmanager
    def answers_lost(self) -> Iterator[None]:
        """The next write is done, and its answer does not come."""
        self._store.lose_answers(True)
        try:
            yield
        finally:
            self._store.lose_answers(False)

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """Not a byte is left where the rings are, and a file of SQLite."""
        assert self._disk is not None
        filling = self._disk / "filling"
        with suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        try:
            yield
        finally:
            filling.unlink()

    @contextmanager
    def ring_taken(self) -> Iterator[None]:
        """A cleaner removes the rings of living processes. Those of the dead are all that is left of their records."""
        for pid in self._service.processes():
            self._remove(f"*.{pid}.*.ring")
        yield

    @contextmanager
    def lock_taken(self) -> Iterator[None]:
        """A cleaner removes the files that nothing is ever written to."""
        self._remove("*.lock")
        yield

    @contextmanager
    def store_taken(self) -> Iterator[None]:
        """The file is moved to another name while it is written."""
        assert isinstance(self._store, SQLiteStore)
        with suppress(FileNotFoundError):
            self._store.move_away()
        yield

    @contextmanager
    def clock_stepped(self) -> Iterator[None]:
        """The wall clock goes back or ahead, and is set right again."""
        assert self._clock is not None
        self._clock.step(self._chance.choice(_STEPS_SECONDS))
        try:
            yield
        finally:
            self._clock.step(0)

    @contextmanager
    def descriptors_out(self) -> Iterator[None]:
        """A worker can open nothing more."""
        pid = self._a_worker()
        held = None
        with suppress(OSError, ValueError):
            most = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
            held = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, held[1]))
        try:
            yield
        finally:
            with suppress(OSError):
                if held is not None:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, held)

    def _signal(self, pid: int, sign: signal.Signals) -> None:
        if sign is signal.SIGKILL:
            self.killed.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, sign)

    def _remove(self, names: str) -> None:
        for path in self._service.state.glob(names):
            with suppress(FileNotFoundError):
                path.unlink()


_EVENTS: Final[dict[Event, Callable[[Trouble], AbstractContextManager[None]]]] = {
    Event.KILLED: Trouble.killed_,
    Event.TERMINATED: Trouble.terminated,
    Event.HUNG_UP: Trouble.hung_up,
    Event.STOPPED: Trouble.stopped,
    Event.STORE_KILLED: Trouble.store_killed,
    Event.ANSWERS_LOST: Trouble.answers_lost,
    Event.DISK_FULL: Trouble.disk_full,
    Event.RING_TAKEN: Trouble.ring_taken,
    Event.LOCK_TAKEN: Trouble.lock_taken,
    Event.STORE_TAKEN: Trouble.store_taken,
    Event.CLOCK_STEPPED: Trouble.clock_stepped,
    Event.DESCRIPTORS_OUT: Trouble.descriptors_out,
}


def last(seconds: float, meanwhile: Callable[[], object]) -> None:
    """Let an event last, and look after the service meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        meanwhile()
        time.sleep(0.02)
