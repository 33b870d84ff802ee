"""What clients and applications may choose without end is no memory of the recorder's without end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from chest.chests.influxdb.bucket import OVERFLOW, Bucket
from chest.chests.memory import MemoryChest
from chest.delivery.log import RateLimitedLog
from chest.delivery.writer import ChestWriter, batch_write
from chest.record.counters import Counters
from chest.record.record import Record
from tests.delivery.test_worker import Clock
from tests.growing import CHOICES, COUNT, FIRST
from tests.processes import run_python
from tests.support import make_record

SLACK_BYTES: Final = 3 << 20
"""What an allocator may do by itself. One short text for each that is distinct would be twice as much."""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("choice", CHOICES)
def test_a_hundred_thousand_distinct_ones_leave_nothing_behind(choice: str, tmp_path: Path) -> None:
    code = """
        import json, sys
        from pathlib import Path
        from tests.growing import growth_of
        print(json.dumps(growth_of(sys.argv[1], Path(sys.argv[2]))))
    """
    grown_bytes, taken, stats = json.loads(run_python(code, choice, tmp_path, seconds=120))
    assert grown_bytes < SLACK_BYTES
    assert stats.pop("last_error") is stats.pop("last_error_time") is None
    assert taken == FIRST + COUNT
    assert "dropped" not in stats
    # No counter has a name that others choose.
    assert set(stats) == {
        "ring",
        "spool",
        "in_flight",
        "delivery_is_running",
        "scheduled_transfers",
        "taken",
        "written",
    }


def test_a_store_that_fails_in_ever_new_ways_is_one_kind_of_trouble_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, counters = Clock(), Counters()
    trouble = RateLimitedLog(counters, clock)
    for number in range(10_000):
        trouble.error("The store takes no records", type(f"Error{number}", (Exception,), {})(f"message {number}"))
        clock.now += 0.25
    minutes, _ = divmod(10_000 * 0.25, 60)
    assert len(caplog.records) == 1 + minutes
    assert set(counters.snapshot()) == {"last_error", "last_error_time"}


def test_a_chest_that_raises_ever_new_errors_adds_to_two_counters() -> None:
    class Inventive(MemoryChest):
        raised = 0

        def write(self, records: Sequence[Record]) -> None:
            self.raised += 1
            raise type(f"Error{self.raised}", (Exception,), {})

    clock, counters = Clock(), Counters()
    chest = Inventive()
    writer = ChestWriter(chest, counters, clock)
    batch = batch_write([make_record()])
    while chest.raised < 2000:
        assert not writer.write(batch)
        clock.now += 60
    assert counters.snapshot().keys() == {"failed_writes", "last_error", "last_error_time"}
    assert counters.snapshot()["failed_writes"] == {"memory": 2000}


def test_values_of_a_tag_and_names_of_fields_share_one_beyond_the_most() -> None:
    bucket = Bucket(most_values=1000)
    kept = [bucket.label("route", f"/{number}") for number in range(5000)]
    assert len(set(kept)) == 1001

    assert kept[1000:] == [OVERFLOW] * 4000
    assert bucket.overflows == {"route": 4000}
    assert [len(seen) for seen in bucket._seen.values()] == [1000]
    for number in range(20_000):
        bucket.fitted("request", f"name-{number}", 1.0)
    assert len(bucket._types) <= 10_000
