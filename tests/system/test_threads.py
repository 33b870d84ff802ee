"""Threads of the operating system beside gevent's hubs."""

from __future__ import annotations

import pytest

from tests.processes import run_python


def test_a_thread_and_a_greenlet_that_need_a_hub_at_the_same_time_both_get_one() -> None:
    pytest.importorskip("gevent")
    said = run_python(
        """
        from gevent import monkey

        monkey.patch_all()
        from importlib.machinery import SourceFileLoader

        import gevent

        from chest.system.threads import sleep, start_thread

        load = SourceFileLoader.exec_module
        # What is imported while a hub is made is imported slowly, as on a busy machine.
        SourceFileLoader.exec_module = lambda *args: (sleep(0.3), load(*args))
        done = []
        start_thread(lambda: (gevent.sleep(0), done.append(1)))
        sleep(0.1)
        while not done:
            gevent.sleep(0.01)
        print("both went on")
        """
    )
    assert "both went on" in said


@pytest.mark.parametrize("work", ["wake_on()", "gevent.spawn(wake_on)"])
def test_no_thread_that_waits_with_gevent_comes_back_to_python_when_the_process_ends(work: str) -> None:
    """One in the middle of its work, and one that has ended but for a greenlet that a driver left."""
    pytest.importorskip("gevent")
    said = run_python(
        f"""
        from gevent import monkey

        monkey.patch_all()
        import gevent

        from chest.system.threads import end_threads_at_exit, sleep, start_thread

        def wake_on():
            while True:
                woken.append(gevent.sleep(0.001))

        woken = []
        start_thread(lambda: {work})
        while not woken:
            sleep(0.001)
        end_threads_at_exit()
        before = len(woken)
        sleep(0.2)
        print(len(woken) - before, "times")
        """
    )
    assert said == "0 times\n"


def test_a_thread_without_descriptors_makes_no_hub_at_its_end() -> None:
    """libev would abort the process."""
    pytest.importorskip("gevent")
    said = run_python(
        """
        from gevent import monkey

        monkey.patch_all()
        import os
        import resource

        import gevent

        from chest.system.threads import sleep, start_thread

        gevent.sleep(0)  # the main thread has its hub
        begun = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        try:
            while True:
                os.open(os.devnull, os.O_RDONLY)
        except OSError:
            start_thread(lambda: begun.append(True))
        while not begun:
            sleep(0.001)
        sleep(0.2)
        print("goes on")
        """
    )
    assert "goes on" in said
