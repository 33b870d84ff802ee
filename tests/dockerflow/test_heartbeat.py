"""However often it is asked, and whatever a check does: an answer, soon, and at a bounded cost."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from chest.dockerflow import checks, health
from chest.dockerflow.heartbeat import Heartbeat
from chest.testing.contract import in_child
from tests.support import wait_until

LONG_SECONDS = 30.0


class Counted:
    """A check that counts its runs."""

    def __init__(self, *messages: checks.CheckMessage) -> None:
        self.runs = 0
        self.messages = messages

    def __call__(self) -> list[checks.CheckMessage]:
        self.runs += 1
        return list(self.messages)


class Hanging:
    """A check that hangs until it is let go."""

    def __init__(self) -> None:
        self.starts = 0
        self.let_go = threading.Event()

    def __call__(self) -> list[checks.CheckMessage]:
        self.starts += 1
        self.let_go.wait(LONG_SECONDS)
        return []


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(
    heartbeat: Heartbeat, *, timeout: float = LONG_SECONDS, cache: float = 0.0, **more: Any
) -> checks.ChecksResults:
    asked = {name: check for name, check in more.items() if name not in ("silenced", "within", "background")}
    rest = {name: value for name, value in more.items() if name not in asked}
    return heartbeat.results(asked, rest.pop("silenced", ()), timeout_seconds=timeout, cache_seconds=cache, **rest)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.let_go.set()
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("chest-check")])


def test_within_a_second_nothing_is_run_again() -> None:
    clock, check = Clock(), Counted(checks.Warning("slow", id="W"))
    heartbeat = Heartbeat(clock)
    first = ask(heartbeat, cache=1.0, it=check)
    clock.now += 0.99
    assert ask(heartbeat, cache=1.0, it=check) == first
    assert check.runs == 1
    clock.now += 0.02
    ask(heartbeat, cache=1.0, it=check)
    assert check.runs == 2


def test_a_check_that_comes_and_an_id_that_is_silenced_count_at_once() -> None:
    heartbeat, check = Heartbeat(), Counted(checks.Warning("slow", id="W"))
    assert ask(heartbeat, cache=LONG_SECONDS).level == 0
    assert ask(heartbeat, cache=LONG_SECONDS, it=check).level == checks.WARNING
    assert ask(heartbeat, cache=LONG_SECONDS, it=check, silenced=["W"]).level == 0


def test_a_crowd_is_answered_by_one_run() -> None:
    heartbeat, begun = Heartbeat(), threading.Event()
    check = Counted()

    def slow() -> list[checks.CheckMessage]:
        begun.set()
        time.sleep(0.2)
        return check()

    with ThreadPoolExecutor(16) as crowd:
        results = list(crowd.map(lambda _: ask(heartbeat, cache=LONG_SECONDS, slow=slow), range(16)))
    assert {result.statuses["slow"] for result in results} == {"ok"}
    assert check.runs == 1


def test_a_check_that_hangs_holds_up_neither_the_answer_nor_another_check(hanging: Hanging) -> None:
    begin = time.monotonic()
    results = ask(Heartbeat(), timeout=0.2, hangs=hanging, fine=Counted(), warns=Counted(checks.Warning("w", id="W")))
    assert time.monotonic() - begin < LONG_SECONDS / 2
    assert results.statuses == {"hangs": "error", "fine": "ok", "warns": "warning"}
    (text,) = results.details["hangs"]["messages"].values()
    assert text.startswith("The check gave no answer yet for 0.")
    assert list(results.details["hangs"]["messages"]) == [health.ERROR_CHECK_TIMED_OUT]


def test_a_check_that_hangs_is_not_started_again_and_not_waited_for_again(hanging: Hanging) -> None:
    heartbeat = Heartbeat()
    ask(heartbeat, timeout=0.05, hangs=hanging)
    begin = time.monotonic()
    for _ in range(20):
        assert ask(heartbeat, timeout=LONG_SECONDS, hangs=hanging).statuses == {"hangs": "error"}
    assert time.monotonic() - begin < LONG_SECONDS / 2
    assert hanging.starts == 1


def test_a_check_that_goes_on_after_it_hung_is_run_again(hanging: Hanging) -> None:
    heartbeat = Heartbeat()
    ask(heartbeat, timeout=0.05, hangs=hanging)
    hanging.let_go.set()
    wait_until(lambda: ask(heartbeat, timeout=LONG_SECONDS, hangs=hanging).level == 0)
    assert hanging.starts == 2


def test_several_that_hang_cost_one_timeout(hanging: Hanging) -> None:
    begin = time.monotonic()
    ask(Heartbeat(), timeout=1.0, **{f"hangs_{number}": hanging for number in range(20)})
    assert time.monotonic() - begin < 20 * 1.0 / 2


def test_after_a_check_was_late_no_request_is_held_by_it_until_it_is_in_time_again(hanging: Hanging) -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    asking = threading.Thread(target=ask, args=(heartbeat,), kwargs={"it": hanging})
    asking.start()
    wait_until(lambda: hanging.starts)
    clock.now += LONG_SECONDS + 1
    hanging.let_go.set()
    asking.join(LONG_SECONDS)
    hanging.let_go.clear()
    begin = time.monotonic()
    assert ask(heartbeat, it=hanging).statuses == {"it": "error"}
    assert time.monotonic() - begin < LONG_SECONDS / 2
    hanging.let_go.set()
    wait_until(lambda: ask(heartbeat, it=hanging).level == 0)


def test_while_one_request_is_held_by_a_check_the_others_get_the_last_results(hanging: Hanging) -> None:
    heartbeat = Heartbeat()
    hanging.let_go.set()
    assert ask(heartbeat, it=hanging).statuses == {"it": "ok"}
    hanging.let_go.clear()
    held = threading.Thread(target=ask, args=(heartbeat,), kwargs={"it": hanging})
    held.start()
    wait_until(lambda: hanging.starts == 2)
    begin = time.monotonic()
    assert ask(heartbeat, it=hanging).statuses == {"it": "ok"}
    assert time.monotonic() - begin < LONG_SECONDS / 2
    hanging.let_go.set()
    held.join(LONG_SECONDS)
    assert not held.is_alive()


def test_a_check_in_the_background_holds_no_request_and_says_for_how_long_it_was_silent(hanging: Hanging) -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    begin = time.monotonic()
    results = ask(heartbeat, background={"store": hanging}, fine=Counted())
    assert time.monotonic() - begin < LONG_SECONDS / 2
    assert results.statuses == {"store": "warning", "fine": "ok"}
    clock.now += 7.0
    results = ask(heartbeat, background={"store": hanging})
    assert results.details["store"]["messages"] == {
        health.ERROR_CHECK_TIMED_OUT: "The check gave no answer yet for 7.0 s."
    }
    assert hanging.starts == 1


def test_the_last_answer_of_a_slow_check_in_the_background_stands_for_a_second(hanging: Hanging) -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    hanging.let_go.set()
    wait_until(lambda: ask(heartbeat, background={"store": hanging}).level == 0)
    hanging.let_go.clear()
    assert ask(heartbeat, background={"store": hanging}).statuses == {"store": "ok"}
    clock.now += 1.1
    assert ask(heartbeat, background={"store": hanging}).statuses == {"store": "warning"}


def test_an_own_check_takes_the_place_of_one_in_the_background_with_its_name() -> None:
    replaced = Counted(checks.Warning("w", id="W"))
    assert ask(Heartbeat(), background={"it": replaced}, it=Counted()).statuses == {"it": "ok"}
    assert replaced.runs == 0


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), ValueError("x")], ids=repr)
def test_whatever_a_check_raises_is_an_error_of_that_check(error: BaseException) -> None:
    def raises() -> None:
        raise error

    assert ask(Heartbeat(), raises=raises, fine=Counted()).statuses == {"raises": "error", "fine": "ok"}


def test_a_system_that_gives_no_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert list(ask(Heartbeat(), it=Counted()).details["it"]["messages"]) == [health.ERROR_CHECK_FAILED]


def test_a_check_sees_the_context_variables_of_the_request_and_runs_within_what_is_asked_for() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[Any] = []

    @contextmanager
    def within() -> Iterator[None]:
        seen.append("entered")
        yield
        seen.append("left")

    def sees() -> list[checks.CheckMessage]:
        seen.append(variable.get())
        return []

    async def sees_later() -> list[checks.CheckMessage]:
        return sees()

    variable.set("the request's")
    checked: dict[str, Callable[[], Any]] = {"sees": sees, "later": sees_later}
    for name, check in checked.items():
        ask(Heartbeat(), within=within, **{name: check})
        assert seen == ["entered", "the request's", "left"]
        seen.clear()


def test_a_context_that_cannot_be_entered_is_an_error_of_the_check() -> None:
    @contextmanager
    def within() -> Iterator[None]:
        raise LookupError("no context")
        yield

    assert list(ask(Heartbeat(), within=within, it=Counted()).details["it"]["messages"]) == [health.ERROR_CHECK_FAILED]


def test_a_child_begins_anew_though_a_check_hung_at_the_fork(hanging: Hanging) -> None:
    heartbeat = Heartbeat()
    asking = threading.Thread(target=ask, args=(heartbeat,), kwargs={"hangs": hanging, "timeout": LONG_SECONDS})
    asking.start()
    wait_until(lambda: hanging.starts)  # and the lock is held

    def ask_in_child() -> None:
        assert ask(heartbeat, it=Counted()).statuses == {"it": "ok"}

    in_child(ask_in_child)
    hanging.let_go.set()
    asking.join(LONG_SECONDS)
    assert not asking.is_alive()
