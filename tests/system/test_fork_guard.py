"""Noticing a fork, and telling it to those that have to begin anew."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from unittest import mock

import pytest

from chest.system import fork_guard
from chest.system.fork_guard import ForkGuard, Forks, PidGuard, new_fork_guard
from tests.processes import fork_without_hooks

pytestmark = pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="no fork on this platform")


def status_in_child(fork: Callable[[], int], answer: Callable[[], int]) -> int:
    """What the answer is in a forked child; 99 for an exception."""
    child = fork()
    if not child:
        status = 99
        try:
            status = answer()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(params=[new_fork_guard, PidGuard])
def guard(request: pytest.FixtureRequest) -> ForkGuard:
    made: ForkGuard = request.param()
    return made


def test_it_reads_0_until_it_is_set(guard: ForkGuard) -> None:
    assert not guard[0]
    guard[0] = 1
    assert guard[0]
    guard[0] = 0
    assert not guard[0]


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_it_reads_0_in_a_child(guard: ForkGuard, fork: Callable[[], int]) -> None:
    guard[0] = 1
    assert status_in_child(fork, lambda: guard[0]) == 0
    assert guard[0]


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    fork_guard._kernel_wipes.cache_clear()
    yield
    fork_guard._kernel_wipes.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
def test_the_process_id_is_compared_if_the_kernel_only_says_that_it_wipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under qemu-user, which answers with success and does nothing."""

    class Ignoring(mmap.mmap):
        def madvise(self, *args: int) -> None:
            return None

    assert type(new_fork_guard()) is mmap.mmap
    fork_guard._kernel_wipes.cache_clear()
    monkeypatch.setattr(fork_guard.mmap, "mmap", Ignoring)
    assert type(new_fork_guard()) is PidGuard


@pytest.mark.usefixtures("_asked_anew")
def test_the_process_id_is_compared_if_the_kernel_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_guard.mmap, "mmap", mock.Mock(side_effect=OSError))
    assert type(new_fork_guard()) is PidGuard


@pytest.mark.usefixtures("_asked_anew")
def test_the_kernel_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    new_fork_guard()
    monkeypatch.setattr(fork_guard, "_kib_to_wipe", mock.Mock(side_effect=AssertionError))
    new_fork_guard()


class Subscriber:
    """Counts how often it was told."""

    def __init__(self, forks: Forks) -> None:
        self.forks = forks
        self.told = 0
        forks.call_in_child(self.begin_anew)

    def begin_anew(self) -> None:
        self.told += 1
        self.forks.check()  # as an object does that uses another one of its kind


def test_a_child_that_runs_the_hooks_has_told_its_objects_before_any_of_its_code() -> None:
    subscriber = Subscriber(Forks())
    assert status_in_child(os.fork, lambda: subscriber.told) == 1
    assert subscriber.told == 0


def test_a_child_forked_without_hooks_tells_its_objects_at_the_first_check_and_only_then() -> None:
    forks = Forks()
    subscribers = [Subscriber(forks), Subscriber(forks)]

    def told() -> int:
        before = sum(each.told for each in subscribers)
        forks.check()
        forks.check()
        return 10 * before + sum(each.told for each in subscribers)

    assert status_in_child(fork_without_hooks, told) == 2


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_an_object_that_raises_keeps_no_other_from_being_told_and_is_told_once(fork: Callable[[], int]) -> None:
    forks, tried = Forks(), []

    def fail() -> None:
        tried.append(1)
        raise MemoryError

    forks.call_in_child(fail)
    subscriber = Subscriber(forks)

    def told() -> int:
        forks.check()
        forks.check()
        return 10 * len(tried) + subscriber.told

    assert status_in_child(fork, told) == 11


def test_a_child_of_a_child_tells_them_again() -> None:
    subscriber = Subscriber(Forks())
    assert status_in_child(os.fork, lambda: status_in_child(os.fork, lambda: subscriber.told)) == 2


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_each_child_is_another_generation(fork: Callable[[], int]) -> None:
    forks = Forks()
    made_in = forks.generation()
    told_in: list[int] = []
    forks.call_in_child(lambda: told_in.append(forks.generation()))
    assert status_in_child(fork, lambda: int(forks.generation() == told_in[0] == made_in + 1)) == 1
    assert forks.generation() == made_in


def test_threads_that_check_at_once_in_a_child_go_on_when_all_objects_were_told() -> None:
    forks = Forks()
    begun, told = threading.Event(), []

    def tell_slowly() -> None:
        begun.wait(60.0)
        told.append(1)

    forks.call_in_child(tell_slowly)

    def told_by_then() -> int:
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: (forks.check(), seen.append(len(told)))) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.set()
        for thread in threads:
            thread.join()
        return seen.count(1)

    assert status_in_child(fork_without_hooks, told_by_then) == 3
    begun.set()  # for children of later tests


def test_an_object_that_is_gone_is_not_told_and_not_kept() -> None:
    forks = Forks()
    subscriber = Subscriber(forks)
    told, reference = Subscriber(forks), weakref.ref(subscriber)
    del subscriber
    gc.collect()
    assert reference() is None
    assert status_in_child(os.fork, lambda: told.told) == 1


def test_the_parent_is_told_before_and_after() -> None:
    forks = Forks()
    calls: list[str] = []
    forks.call_around(lambda: calls.append("before"), lambda: calls.append("after"))
    assert status_in_child(os.fork, lambda: len(calls)) == 1
    assert calls == ["before", "after"]


def test_objects_that_live_until_the_interpreter_ends_leave_it_in_silence() -> None:
    code = "from chest import Recorder\nrecorder = Recorder(chests=['memory:'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
