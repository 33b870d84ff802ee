"""``run``: carries out a plan, and says what was found."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from tests.field.ledger import Ledger
from tests.field.load import Clients
from tests.field.parts.clock import Clock
from tests.field.parts.service import Service, serving
from tests.field.parts.stores import Stores
from tests.field.plan import Event, Plan, ServerKind
from tests.field.trouble import Trouble, last
from tests.field.witness import testify
from tests.kill.test_full_disk import mounted

_DISK: Final = "48m"
_START_SECONDS: Final = 60.0
_ANSWERS: Final = 20
_LOG_CHARACTERS: Final = 20_000


class Result(NamedTuple):
    """What came of a plan."""

    plan: Plan
    answered: int
    unanswered: int
    longest_drain_seconds: float
    faults: list[str]
    log: str
    """The end of what the server and the recorders said."""

    def __str__(self) -> str:
        drained = f"in the store after {self.longest_drain_seconds:.1f} s at most"
        lines = [f"{self.plan}: {self.answered} answered, {self.unanswered} not, {drained}", *self.faults]
        return "\n    FAULT ".join(lines)


def run(plan: Plan, stores: Stores, directory: Path) -> Result:
    """Carry out a plan.

    :param directory: an empty one, for whatever is written.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(_DISK)) if Event.DISK_FULL in plan.events else None
        place = disk or directory
        state = place / "rings"
        (place / "store").mkdir()
        store = stack.enter_context(stores.new(plan.store, place / "store"))
        clock = Clock(directory) if Event.CLOCK_STEPPED in plan.events else None
        environ = clock.environ if clock else {}
        service = stack.enter_context(serving(plan, store.url, directory, state, environ))
        trouble = Trouble(service, store, disk, clock, random.Random(plan.seed))
        # Where each request is a process that loads a driver and connects, few can be served.
        count, pause_seconds = (1, 0.2) if plan.server is ServerKind.FORKING else (4, 0.01)
        keeps_connections = plan.server is not ServerKind.UWSGI
        with Clients(
            service.server.port, keeps_connections=keeps_connections, count=count, pause_seconds=pause_seconds
        ) as clients:
            ledger = Ledger(plan, service, store, clients, trouble)
            _wait_for_answers(clients, service)
            ledger.begin()
            for round_ in plan.rounds:
                if ledger.faults:
                    break
                with ExitStack() as events:
                    for event in round_.events:
                        events.enter_context(trouble.of(event))
                    last(round_.seconds, lambda: (service.ensure_running(), ledger.watch()))
                _wait_for_answers(clients, service)
                ledger.settle(f"after {' with '.join(round_.events)}")
            clients.stop()
        trouble.killed.update(service.processes())  # a server that does not end in time is killed
        service.server.stop()
        if service.drain is not None:
            service.drain.stop()
        ledger.end()
        return Result(
            plan,
            len(clients.answers),
            clients.unanswered,
            max(ledger.drained_seconds),
            ledger.faults,
            service.server.log()[-_LOG_CHARACTERS:],
        )


def _wait_for_answers(clients: Clients, service: Service) -> None:
    """Wait until more requests were answered. Fails with what the processes are at if they are not."""
    try:
        clients.wait_for(_ANSWERS, service.ensure_running, _START_SECONDS)
    except AssertionError as error:
        known = testify(service.processes())
        raise AssertionError(f"{error}; {clients.known}\n{known}\n{service.server.log()[-_LOG_CHARACTERS:]}") from None
