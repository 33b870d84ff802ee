"""``Clock``: steps the wall clock of a process that runs, and leaves the monotonic one alone."""

from __future__ import annotations

import time
from pathlib import Path

from tests.field.parts.clock import Clock
from tests.processes import running_python


def test_a_process_goes_by_the_clock_that_was_stepped(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    code = """
        import datetime, sys, time
        for line in sys.stdin:
            print(time.time(), time.time_ns() / 1e9, datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
    """
    with running_python(code, **clock.environ) as process:
        assert process.stdin
        assert process.stdout
        for seconds in (0, 86_400, -3600, 0):
            clock.step(seconds)
            process.stdin.write("\n")
            process.stdin.flush()
            *told, monotonic = map(float, process.stdout.readline().split())
            assert all(abs(each - time.time() - seconds) < 60 for each in told)
            assert abs(monotonic - time.monotonic()) < 60
