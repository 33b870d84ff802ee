"""What went wrong while requests were recorded is logged by another thread, before the process ends at the latest."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from werkzeug.test import create_environ, run_wsgi_app

from chest import ChestMiddleware, MemoryChest, Record, Recorder
from chest.testing import make_record
from tests.request.middleware.client import hello
from tests.support import wait_until


def _refuse(record: Record) -> bool:
    raise ValueError("of the application")


def _record(directory: Path, delivery: Literal["thread", "external"] = "thread") -> Recorder:
    """A recorder that has recorded a request whose ``before_record`` raised."""
    recorder = Recorder(chests=[MemoryChest()], directory=directory, delivery=delivery)
    run_wsgi_app(ChestMiddleware(hello, recorder=recorder, before_record=_refuse), create_environ())
    return recorder


def test_a_before_record_that_raised_is_logged_at_the_end_of_a_short_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = _record(tmp_path)
    assert recorder.close()
    assert caplog.messages == ["chest: before_record raised ValueError('of the application')"]


class _Evil(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [(_Evil(), "_Evil"), (ValueError("x" * 20_000_000), "ValueError('xxx")],
)
def test_what_an_exception_says_of_itself_costs_neither_the_record_nor_memory(
    error: Exception, said: str, tmp_path: Path
) -> None:
    def refuse(record: Record) -> bool:
        raise error

    chest = MemoryChest()
    recorder = Recorder(chests=[chest], directory=tmp_path)
    run_wsgi_app(ChestMiddleware(hello, recorder=recorder, before_record=refuse), create_environ())
    last_error = recorder.stats()["last_error"]
    assert recorder.close()
    assert len(chest.records) == 1
    assert last_error.startswith(f"before_record raised {said}")
    assert len(last_error) <= 5000


def test_it_is_logged_in_a_process_that_leaves_delivery_to_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = _record(tmp_path, "external")
    try:
        wait_until(lambda: "chest: before_record raised ValueError('of the application')" in caplog.messages, 60)
    finally:
        recorder.close()


def test_a_record_of_a_recorder_without_trouble_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(chests=[MemoryChest()], directory=tmp_path)
    recorder.offer(make_record())
    assert recorder.close()
    assert caplog.messages == []
