"""``ChestPool``: a slow store holds a bounded number of questions, and no request for long."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.dashboard.chest_pool import ChestPool, TooBusy
from chest.errors import ChestUnavailable
from tests.dashboard.conftest import ask
from tests.support import wait_until


class _Stuck(MemoryChest):
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()

    def newest(self) -> Any:
        self.asked.release()
        assert self.let_go.wait(60)
        return 7


def test_no_more_questions_are_asked_at_a_time_than_there_are_places() -> None:
    stuck = _Stuck()
    pool = ChestPool(lambda: stuck, 2, 60)
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(pool.ask(_newest))) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert stuck.asked.acquire(timeout=60)
    begin = time.monotonic()
    with pytest.raises(TooBusy, match="2 questions are being answered already") as refused:
        pool.ask(_newest)
    assert refused.value.retry_after == 1
    assert time.monotonic() - begin < 30, "refused at once, and not when the others have ended"
    stuck.let_go.set()
    for thread in threads:
        thread.join(60)
    assert answers == [7, 7]
    assert pool.ask(_newest) == 7


def test_a_request_waits_no_longer_than_it_has_to_and_the_place_stays_taken_until_the_store_answers() -> None:
    stuck = _Stuck()
    pool = ChestPool(lambda: stuck, 1, 0.05)
    with pytest.raises(ChestUnavailable, match=r"did not answer within 0\.05 s"):
        pool.ask(_newest)
    with pytest.raises(TooBusy):
        pool.ask(_newest)
    stuck.let_go.set()
    wait_until(lambda: len(pool._places) == 1)
    assert pool.ask(lambda chest: 8) == 8


def test_the_page_says_503_and_when_to_ask_again() -> None:
    stuck = _Stuck()
    page = ChestPage(stuck, allow="everybody", seconds=0.05, patience_seconds=0, questions_at_once=1)
    late, busy = (ask(page, "/api/records") for _ in range(2))
    assert (late.status, late.headers["Retry-After"]) == (503, "1")
    assert "did not answer" in late.json["error"]
    assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
    assert "1 questions are being answered" in busy.json["error"]
    assert ask(page, "/").status == 200
    stuck.let_go.set()


def test_what_a_question_raises_is_raised_in_the_thread_that_asked() -> None:
    pool = ChestPool(MemoryChest, 1, 60)

    def fail(chest: Any) -> None:
        raise LookupError(threading.current_thread().name)

    for _ in range(3):
        with pytest.raises(LookupError):
            pool.ask(fail)


def test_each_place_has_a_connection_of_its_own_which_is_kept(tmp_path: Path) -> None:
    from chest.chests import SQLiteChest

    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with SQLiteChest(url) as chest:
        chest.open()
    pool = ChestPool(lambda: url, 2, 60)
    first = pool.ask(lambda chest: chest)
    both: list[Any] = []
    pool.ask(lambda chest: both.append((chest, pool.ask(lambda other: other))))
    ((outer, inner),) = both
    assert outer is not inner
    assert first in (outer, inner)
    pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_all_places_free() -> None:
    stuck = _Stuck()
    pool = ChestPool(lambda: stuck, 1, 0.05)
    with pytest.raises(ChestUnavailable):
        pool.ask(_newest)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pool.wait_seconds = 60
            status = 0 if pool.ask(lambda chest: 9) == 9 else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stuck.let_go.set()


def _newest(chest: Any) -> Any:
    return chest.newest()
