"""A chest is tended while nothing is written, and whatever it raises ends nothing."""

from __future__ import annotations

from chest.chests.memory import MemoryChest
from chest.delivery.worker import ChestWorker
from chest.delivery.workers import ChestWorkers
from chest.record.counters import Counters
from chest.testing.records import make_record


class Tended(MemoryChest):
    """Counts how often, and raises."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.times = 0

    def tend(self) -> None:
        self.times += 1
        raise RuntimeError("not now")


def test_each_chest_is_tended_at_each_look_around_and_goes_on_after_it_raised() -> None:
    counters = Counters()
    chests = [Tended("one"), Tended("two")]
    workers = ChestWorkers([ChestWorker(chest, counters) for chest in chests], counters, lambda: None)
    for _ in range(2):
        workers.look_around()
    assert [chest.times for chest in chests] == [2, 2]
    batch = workers.submit([make_record()])
    for worker in workers._workers:
        worker.step()
    assert batch.is_settled
    assert [len(chest.read()) for chest in chests] == [1, 1]
