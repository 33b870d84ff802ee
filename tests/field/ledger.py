"""``Ledger``: what has to be true after each round, whatever the trouble was. It finds faults and raises nothing."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from chest.chests.registry import open_chest
from chest.recorder.directory_recovery import recover_directory
from tests.field.load import Answer, Clients
from tests.field.parts.service import RING_BYTES, SPOOL_BYTES, Service, descriptors_of, threads_of
from tests.field.parts.stores import Store, Stored
from tests.field.plan import ONCE, Event, Plan, ServerKind
from tests.field.trouble import Trouble

DRAIN_SECONDS: Final = 90.0
"""How long everything may take to arrive after the trouble: seconds by themselves, more on a machine that is busy, and a minute
for a ring whose lock was taken away just before its process ended."""
LONGEST_ANSWER_SECONDS: Final = 10.0
_ACCEPT_SECONDS: Final = 20.0
_LOOK_EVERY_SECONDS: Final = 0.2
_MORE_DESCRIPTORS: Final = 12
_MORE_THREADS: Final = 6
"""What a process may have more of than at the beginning: connections that clients keep, threads that a server makes late."""
_RING_AND_LOCK_BYTES: Final = RING_BYTES + (64 << 10)
_ROUNDING_BYTES: Final = 2 << 20


class Ledger:
    """Compares what was answered with what is stored.

    :param trouble: knows which processes it has killed.
    """

    def __init__(self, plan: Plan, service: Service, store: Store, clients: Clients, trouble: Trouble) -> None:
        self._plan = plan
        self._service = service
        self._store = store
        self._clients = clients
        self._trouble = trouble
        self._descriptors = self._threads = 0
        self._is_over_bound = False
        self._most_processes = 1
        self.faults: list[str] = []
        self.drained_seconds: list[float] = []
        """How long it took after each round until everything was in the store."""

    def begin(self) -> None:
        """Note what the processes have when all is well."""
        self.settle("at the beginning")
        self._descriptors, self._threads = self._most_open(), self._most_threads()

    def watch(self) -> None:
        """Look at what must hold at any moment."""
        # Of those that were just killed, too: a ring that no process could give back is as large as it was made.
        self._most_processes = max(self._most_processes, len(self._service.processes()))
        bound = SPOOL_BYTES + _ROUNDING_BYTES + 2 * self._most_processes * _RING_AND_LOCK_BYTES
        taken = self._service.disk_bytes()
        if taken > bound and not self._is_over_bound:
            self._is_over_bound = True
            self._fault("meanwhile", f"the directory took {taken:,} bytes; {bound:,} are its bound")

    def settle(self, when: str) -> None:
        """Wait until what was answered so far is stored, or known to be lost, and nothing is left open."""
        answers = list(self._clients.answers)
        begin = time.monotonic()
        missing = self._wait_for(answers)
        self.drained_seconds.append(time.monotonic() - begin)
        if missing:
            by_process = Counter(answer.pid for answer in missing)
            self._fault(when, f"{len(missing)} of {len(answers)} are not in the store; {self._known_of(by_process)}")
        if self._descriptors:
            self._require_nothing_left_open(when)

    def end(self) -> None:
        """After the end of the clients and the server: deliver what was left, and look at everything."""
        when = "at the end"
        state = self._service.state
        try:
            left = self._recover()
        except Exception as error:  # it is the finding
            self._fault(when, f"what was left cannot be delivered: {error!r}")
            left = 0
        if left:
            self._fault(when, f"{left} rings cannot be delivered: {sorted(path.name for path in state.iterdir())}")
        answers = self._clients.answers
        missing = self._missing(answers)
        if missing:
            by_process = Counter(answer.pid for answer in missing)
            self._fault(when, f"{len(missing)} of {len(answers)} are lost uncounted; {self._known_of(by_process)}")
        self._require_once(when)
        self._require_good_answers(when)

    def _recover(self) -> int:
        """Deliver what was left; how many rings cannot be. A process that was killed may take a moment to be gone."""
        chest = open_chest(self._store.url)
        deadline = time.monotonic() + DRAIN_SECONDS
        try:
            while (left := recover_directory(self._service.state, [chest]).left) and time.monotonic() < deadline:
                time.sleep(_LOOK_EVERY_SECONDS)
        finally:
            chest.close()
        return left

    def _fault(self, when: str, what: str) -> None:
        self.faults.append(f"{when}: {what}")

    def _wait_for(self, answers: list[Answer]) -> list[Answer]:
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            self._service.ensure_running()
            self.watch()
            try:
                missing = self._missing(answers)
            except Exception:  # the store may not answer yet
                missing = answers
            if not missing or time.monotonic() > deadline or self._is_over_bound:
                return missing
            time.sleep(_LOOK_EVERY_SECONDS)

    def _missing(self, answers: list[Answer]) -> list[Answer]:
        """What is not stored and was not counted as lost either."""
        stored = {record.request_id for record in self._store.records()}
        missing = [answer for answer in answers if answer.request_id not in stored]
        lost = {pid: self._counted_by(pid) for pid in {answer.pid for answer in missing}}
        return [answer for answer in missing if not _takes_one(lost, answer.pid)]

    def _counted_by(self, pid: int) -> float:
        """How many records a process has said that it lost; all, if it said that a kill would lose them and was killed."""
        told: dict[str, Any] = self._service.told_by(pid)
        # One that ends by itself tells nothing more after its last request: what it drops at its end stands in the log alone.
        ends_by_itself = self._plan.is_recycled or self._plan.server is ServerKind.FORKING
        has_no_last_word = ends_by_itself or pid in self._trouble.killed
        is_gone = pid not in self._service.processes()
        # Without descriptors a process makes no ring file, nor the one in which it would tell so.
        is_durable = told["ring"]["is_durable"] if "ring" in told else not self._has_lacked_descriptors
        if is_gone and has_no_last_word and not is_durable:
            return float("inf")
        return sum(told.get("dropped", {}).values())

    @property
    def _has_lacked_descriptors(self) -> bool:
        return any(Event.DESCRIPTORS_OUT in round_.events for round_ in self._plan.rounds)

    def _known_of(self, processes: Counter[int]) -> str:
        living = self._service.processes()
        return "; ".join(
            f"{count} of process {pid} ({'lives' if pid in living else 'is gone'}), which told {self._service.told_by(pid)}"
            for pid, count in processes.most_common(2)
        )

    def _require_nothing_left_open(self, when: str) -> None:
        deadline = time.monotonic() + 10
        while True:
            descriptors, threads = self._most_open(), self._most_threads()
            is_well = descriptors <= self._descriptors + _MORE_DESCRIPTORS and threads <= self._threads + _MORE_THREADS
            if is_well or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY_SECONDS)
        if not is_well:
            before = f"{self._descriptors} and {self._threads} before"
            self._fault(when, f"a process has {descriptors} descriptors or {threads} threads, {before}")

    def _most_open(self) -> int:
        return max(map(descriptors_of, self._service.processes()), default=0)

    def _most_threads(self) -> int:
        return max(map(threads_of, self._service.processes()), default=0)

    def _require_once(self, when: str) -> None:
        records = self._store.records()
        by_id = Counter(record.id for record in records)
        if self._plan.store in ONCE and len(by_id) < len(records):
            self._fault(when, f"{len(records) - len(by_id)} records are stored twice, where once is promised")
        of_request: dict[str, dict[str, Stored]] = {}
        for record in records:
            of_request.setdefault(record.request_id, {})[record.id] = record
        doubled = [list(found.values()) for found in of_request.values() if len(found) > 1]
        if doubled:
            self._fault(when, f"{len(doubled)} requests have more than one record, such as {doubled[0]}")
        for answer in self._clients.answers:
            found = of_request.get(answer.request_id, {})
            # A stream's record is made when the server closes it, after the last byte: a kill may come between.
            if answer.path != "/stream" and any(record.outcome != "ok" for record in found.values()):
                self._fault(when, f"an answered request is recorded as {list(found.values())}")
                break

    def _require_good_answers(self, when: str) -> None:
        if self._clients.errors:
            self._fault(when, f"{len(self._clients.errors)} requests failed, such as {self._clients.errors[0]}")
        longest = max((answer.seconds for answer in self._clients.answers), default=0.0)
        bound = LONGEST_ANSWER_SECONDS + max(round_.seconds for round_ in self._plan.rounds)
        if self._has_lacked_descriptors:
            bound += _ACCEPT_SECONDS  # such a server accepts nothing, with or without a recorder, and waits before it tries again
        if longest > bound:
            self._fault(when, f"a request took {longest:.1f} s, more than {bound:.1f}")


def _takes_one(lost: dict[int, float], pid: int) -> bool:
    if lost[pid] < 1:
        return False
    lost[pid] -= 1
    return True
