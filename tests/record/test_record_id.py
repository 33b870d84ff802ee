"""Record ids."""

from __future__ import annotations

import re
import threading
import time
from typing import Any
from wsgiref.util import setup_testing_defaults

from chest import ChestMiddleware
from chest.chests import MemoryChest
from chest.record.record_id import RecordIds, first_id, is_tail
from chest.testing.recorded import TestRecords


def test_an_id_is_32_hex_characters_in_order_of_time() -> None:
    ids = RecordIds()
    made = [ids.new(time_ns) for time_ns in (time.time_ns(), time.time_ns() + 1, time.time_ns() + 10**9)]
    assert made == sorted(made)
    assert all(re.fullmatch("[0-9a-f]{32}", record_id) for record_id in made)


def test_two_processes_that_make_an_id_in_the_same_nanosecond_make_two() -> None:
    assert RecordIds().new(1) != RecordIds().new(1)


def test_ids_of_one_nanosecond_are_distinct() -> None:
    ids = RecordIds()
    assert len({ids.new(7) for _ in range(60_000)}) == 60_000


def test_threads_that_make_ids_at_once_make_none_twice() -> None:
    ids = RecordIds()
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda own=own: own.extend(ids.new(7) for _ in range(10_000))) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for own in made for each in own}) == 40_000


def test_renewed_ids_have_another_process_part() -> None:
    ids = RecordIds()
    before = ids.process
    ids.renew()
    assert ids.process != before


def test_any_changed_digit_of_the_second_half_is_noticed() -> None:
    ids = RecordIds()
    for _ in range(100):
        tail = ids.new(time.time_ns())[16:]
        assert is_tail(tail, ids.process)
        for at in range(16):
            for digit in "0123456789abcdefg":
                changed = tail[:at] + digit + tail[at + 1 :]
                assert is_tail(changed, ids.process) == (changed == tail)


def test_the_id_of_a_request_begins_with_the_time_at_which_it_began() -> None:
    """By this a table is divided into days."""
    with TestRecords() as records:
        app = ChestMiddleware(
            lambda environ, start_response: start_response("200 OK", []) and [b""], chests=[MemoryChest()]
        )
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        b"".join(app(environ, lambda *_: lambda data: None))
        app.recorder.flush(60)
        (record,) = records
        app.recorder.close()
    assert record.id.startswith(first_id(record.time_ns))
    assert first_id(record.time_ns) > first_id(record.time_ns - 1)
