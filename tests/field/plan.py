"""``Plan``: what a seed combines: a server, a store, and rounds of trouble. Pure; the same seed always gives the same plan."""

from __future__ import annotations

import enum
import random
from itertools import chain
from typing import Final, NamedTuple

STATS: Final = "FIELD_STATS"
"""Names in the environment of the application the directory for what its recorders know."""


class ServerKind(enum.StrEnum):
    """What serves the application."""

    SYNC = "gunicorn sync"
    GTHREAD = "gunicorn gthread"
    GEVENT = "gunicorn gevent"
    UWSGI = "uWSGI"
    WAITRESS = "waitress"
    GRANIAN = "Granian"
    FORKING = "fork per request"


class StoreKind(enum.StrEnum):
    """Where the records go. All but SQLite stand behind a proxy that can lose an answer."""

    SQLITE = "SQLite"
    POSTGRESQL = "PostgreSQL"
    MARIADB = "MariaDB"
    MYSQL57 = "MySQL 5.7"
    MONGODB = "MongoDB"
    HTTP = "HTTP"


class Event(enum.StrEnum):
    """One kind of trouble."""

    KILLED = "kill -9"
    TERMINATED = "SIGTERM"
    HUNG_UP = "SIGHUP"
    STOPPED = "SIGSTOP"
    STORE_KILLED = "store killed"
    ANSWERS_LOST = "answers lost"
    DISK_FULL = "disk full"
    RING_TAKEN = "ring taken away"
    LOCK_TAKEN = "lock taken away"
    STORE_TAKEN = "SQLite file moved away"
    CLOCK_STEPPED = "clock stepped"
    DESCRIPTORS_OUT = "descriptors out"


ONCE: Final = frozenset(StoreKind) - {StoreKind.HTTP}
"""The stores that can tell a record by its id, and so hold it once."""
_ENDS: Final = frozenset({Event.KILLED, Event.TERMINATED, Event.HUNG_UP})
_LEAVE_THE_RING_IN_MEMORY: Final = frozenset(
    {Event.RING_TAKEN, Event.LOCK_TAKEN, Event.DISK_FULL, Event.DESCRIPTORS_OUT}
)


class Round(NamedTuple):
    """Events that begin together, and how long each lasts."""

    events: tuple[Event, ...]
    seconds: float


class Plan(NamedTuple):
    """What one run does."""

    seed: int
    server: ServerKind
    store: StoreKind
    workers: int
    rounds: tuple[Round, ...]
    is_drained: bool
    """Whether a process beside the workers delivers (``chest drain``), and not a thread in each."""
    is_preloaded: bool
    """Whether gunicorn loads the application before it forks; uWSGI always does."""
    is_recycled: bool
    """Whether gunicorn and uWSGI end a worker after a number of requests."""

    @property
    def events(self) -> frozenset[Event]:
        """All that come in it."""
        return frozenset(chain.from_iterable(round_.events for round_ in self.rounds))

    def __str__(self) -> str:
        rounds = ", then ".join(" with ".join(round_.events) for round_ in self.rounds)
        ways = {"drained": self.is_drained, "preloaded": self.is_preloaded, "recycled": self.is_recycled}
        how = ", ".join([str(self.workers), *(way for way, is_on in ways.items() if is_on)])
        return f"seed {self.seed}: {self.server} ({how}), {self.store}: {rounds}"


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    server = chance.choice(list(ServerKind))
    store = chance.choice(list(StoreKind))
    workers = chance.randint(1, 3)
    rounds = tuple(Round(_events(chance, server, store), round(chance.uniform(0.8, 2.0), 1)) for _ in range(2))
    is_drained, is_preloaded, is_recycled = (chance.random() < 0.25 for _ in range(3))
    has_master = server in (ServerKind.SYNC, ServerKind.GTHREAD, ServerKind.GEVENT)
    return Plan(
        seed, server, store, workers, rounds, is_drained,
        is_preloaded=is_preloaded and has_master,
        is_recycled=is_recycled and (has_master or server is ServerKind.UWSGI),
    )  # fmt: skip


def _events(chance: random.Random, server: ServerKind, store: StoreKind) -> tuple[Event, ...]:
    events = [event for event in Event if fits(event, server, store)]
    first = chance.choice(events)
    others = [event for event in events if can_meet(first, event)]
    return (first, chance.choice(others)) if chance.random() < 0.5 else (first,)


def fits(event: Event, server: ServerKind, store: StoreKind) -> bool:
    """Whether an event can come to such a server with such a store, and nothing may be lost all the same."""
    if event is Event.ANSWERS_LOST:
        return store is not StoreKind.SQLITE
    if event is Event.RING_TAKEN:  # a child that lives for one request has no time for another ring
        return server is not ServerKind.FORKING
    return event is not Event.STORE_TAKEN or store is StoreKind.SQLITE


def can_meet(one: Event, other: Event) -> bool:
    """Whether two events may come at the same time and nothing may be lost all the same.

    A ring that cannot be on disk is in memory, which is counted, and dies with its process.
    """
    pair = {one, other}
    return one is not other and not (pair & _ENDS and pair & _LEAVE_THE_RING_IN_MEMORY)
