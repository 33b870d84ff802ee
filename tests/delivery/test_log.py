"""What goes wrong is said, and not too often."""

from __future__ import annotations

import pytest

from chest.delivery.log import RateLimitedLog, TroubleReporter
from chest.record.counters import Counters
from tests.delivery.test_worker import Clock


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.message.startswith("chest: ") for record in caplog.records)
    return [record.message.removeprefix("chest: ") for record in caplog.records]


def test_a_kind_of_trouble_is_said_once_a_minute_with_how_often_it_was_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, counters = Clock(), Counters()
    trouble = RateLimitedLog(counters, clock)
    for _ in range(130):
        trouble.error("The store is gone", "refused")
        clock.now += 1
    trouble.recovered("The store is back")
    trouble.recovered("The store is back")
    assert said(caplog) == [
        "The store is gone: refused",
        "The store is gone: refused (59 times more since this was last said)",
        "The store is gone: refused (59 times more since this was last said)",
        "The store is back",
    ]
    assert counters.snapshot()["last_error"] == "The store is gone: refused"


def test_a_failure_that_comes_and_goes_floods_no_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    trouble = RateLimitedLog(Counters(), clock)
    for _ in range(59):
        trouble.error("down", "refused")
        trouble.recovered("up")
        clock.now += 1
    assert said(caplog) == ["down: refused", "up"]


def test_what_is_dropped_in_the_request_s_time_is_said_later(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    losses = TroubleReporter(counters)
    losses.look()
    counters.add("dropped.ring_full", 12)
    losses.look()
    losses.look()
    assert [message[:55] for message in said(caplog)] == [
        "12 records were dropped, because the ring is full: a st",
        "No more records are dropped because the ring is full: a",
    ]


def test_what_went_wrong_in_the_request_s_time_is_said_later_once_for_each_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = Counters()
    troubles = TroubleReporter(counters)
    for value in range(3):
        counters.fault("before_record raised %r", ValueError(value))
    counters.fault("while recording a request: %s", "password=swordfish")
    counters.add("dropped.internal_error")
    assert said(caplog) == []
    troubles.look()
    troubles.look()
    assert said(caplog) == [
        '1 records were dropped, because of a bug in Chest; report it with the line that begins with "while recording": 1 in this process',
        "before_record raised ValueError(2) (2 times more)",
        "while recording a request: password=***",
        'No more records are dropped because of a bug in Chest; report it with the line that begins with "while recording"',
    ]
    assert counters.snapshot()["last_error"] == "while recording a request: password=***"


def test_a_child_does_not_say_again_what_its_parent_said(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    counters.fault("before_record raised %r", ValueError())
    counters.clear()
    TroubleReporter(counters).look()
    assert said(caplog) == []
