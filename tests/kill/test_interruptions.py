"""Offers in the middle of other offers: by signal handlers, finalizers and greenlets; and offers that are cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import run_python
from tests.servers import needs

_RECORDER = """
    import gc, os, random, signal, sys, threading, time
    from pathlib import Path
    from chest import Recorder
    from chest.chests.memory import MemoryChest
    from tests.kill.offering import numbered

    chest = MemoryChest()
    recorder = Recorder([chest], directory=Path(sys.argv[1]), service="shop", ring_bytes=int(sys.argv[2]))
    taken = []

    def offer():
        record = numbered(recorder.request_side.record_ids, 0, len(taken))
        if recorder.offer(record):
            taken.append(record.id)

    def require_each_once():
        assert recorder.flush(60), recorder.stats()
        found = [record.id for record in chest.records]
        assert sorted(found) == sorted(taken), (len(found), len(taken), recorder.stats())
        print(len(taken))
"""


def test_a_signal_handler_may_offer_in_the_middle_of_an_offer(tmp_path: Path) -> None:
    code = f"""{_RECORDER}
    in_handler = depth = 0
    def arm():
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.0003))
    def handle(number, frame):
        global in_handler, depth
        in_handler += 1
        depth += 1
        if depth < 5:  # this offer may be interrupted in its turn
            arm()
        offer()
        depth -= 1
        arm()
    signal.signal(signal.SIGALRM, handle)
    recorder.prepare()
    arm()
    while in_handler < 3000:
        offer()
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    require_each_once()
    """
    assert int(run_python(code, tmp_path, 16 << 20)) > 3000


def test_a_signal_handler_may_offer_and_flush_while_its_own_thread_opens_the_ring(tmp_path: Path) -> None:
    code = f"""{_RECORDER}
    from chest.ring.segments.file import SegmentFile
    create = SegmentFile.create.__func__
    def interrupted(*arguments):
        signal.raise_signal(signal.SIGUSR1)
        return create(SegmentFile, *arguments)
    def handle(number, frame):
        offer()
        assert not recorder.flush(0.1)
    SegmentFile.create = interrupted
    signal.signal(signal.SIGUSR1, handle)
    recorder.prepare()
    offer()
    require_each_once()
    """
    assert int(run_python(code, tmp_path, 1 << 20)) == 2


def test_offers_cut_short_by_exceptions_of_a_signal_handler_leave_the_ring_as_large_as_it_was(tmp_path: Path) -> None:
    code = f"""{_RECORDER}
    class Interruption(Exception): pass
    class Exit(BaseException): pass
    raised, is_offering = 0, False
    def handle(number, frame):
        global raised
        if is_offering:
            raised += 1
            raise Exit if raised % 2 else Interruption
    signal.signal(signal.SIGALRM, handle)
    recorder.prepare()
    offered = set()
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
    while raised < 3000:
        try:
            is_offering = True
            while True:
                record = numbered(recorder.request_side.record_ids, 0, 7)
                offered.add(record.id)
                if recorder.offer(record):
                    taken.append(record.id)
        except (Exit, Interruption):
            is_offering = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert recorder.flush(60)
    found = [record.id for record in chest.records]
    assert len(found) == len(set(found))
    assert set(taken) <= set(found) <= offered
    # And the ring takes as much as one without interruptions.
    room = 0
    recorder.lifecycle.state.delivery.stop(time.monotonic() + 5, is_durable=True)
    for _ in range(2):  # as the exporter does every few seconds
        recorder.request_side.ring.reclaim()
    recorder.lifecycle.state.delivery.ask_for_flush()
    recorder.lifecycle.state.delivery.turn_without_thread()
    while recorder.offer(numbered(recorder.request_side.record_ids, 0, 7)):
        room += 1
    print(room)
    """
    room = int(run_python(code, tmp_path, 1 << 20))
    assert room > 0.9 * (1 << 20) / 175, "segments were lost"


def test_a_finalizer_may_offer_in_the_middle_of_an_offer(tmp_path: Path) -> None:
    code = f"""{_RECORDER}
    class FastRing:
        def __init__(self):
            self.itself = self
        def __del__(self):
            offer()
    gc.set_threshold(20, 2, 2)
    recorder.prepare()
    for _ in range(20_000):
        FastRing()
        offer()
    gc.collect()
    require_each_once()
    """
    assert int(run_python(code, tmp_path, 16 << 20)) > 30_000


_GREENLETS = """
    from gevent import monkey
    monkey.patch_all()
    import gc, random, sys, time
    import gevent
    from pathlib import Path
    from chest import ChestMiddleware, current
    from chest.chests.memory import MemoryChest

    chest = MemoryChest()
    shown = {}

    def answer(environ, start_response):
        name = environ["PATH_INFO"]
        shown[name] = True
        current()["name"] = name
        start_response("200 OK", [])
        if name.endswith("7"):
            return stream(name)
        gevent.sleep(random.random() / 100)
        assert current()["name"] == name
        return [b"done"]

    def stream(name):
        for _ in range(3):
            gevent.sleep(random.random() / 100)
            assert current()["name"] == name
            yield b"part"

    app = ChestMiddleware(answer, chests=[chest], directory=Path(sys.argv[1]), service="shop", ring_bytes=1 << 20)

    def ask(name):
        body = app({"PATH_INFO": name, "REQUEST_METHOD": "GET"}, lambda *_: None)
        try:
            return sum(len(part) for part in body)
        finally:
            if hasattr(body, "close"):
                body.close()
"""


def test_a_hundred_greenlets_leave_one_record_a_request_each_with_its_own_variables(tmp_path: Path) -> None:
    needs("gevent")
    code = f"""{_GREENLETS}
    def ask_ten(number):
        for turn in range(10):
            ask(f"/{{number}}-{{turn}}")
    gevent.joinall([gevent.spawn(ask_ten, number) for number in range(100)], raise_error=True)
    assert app.recorder.flush(60)
    assert sorted(record.path for record in chest.records) == sorted(f"/{{n}}-{{t}}" for n in range(100) for t in range(10))
    assert all(record.variables == {{"name": record.path}} for record in chest.records)
    assert {{record.outcome for record in chest.records}} == {{"ok"}}
    """
    run_python(code, tmp_path)


@pytest.mark.parametrize("kind", ["complete", "streamed"])
def test_a_greenlet_that_is_killed_leaves_the_record_of_its_request(tmp_path: Path, kind: str) -> None:
    needs("gevent")
    code = f"""{_GREENLETS}
    names = [f"/{{number}}" + ("7" if {kind == "streamed"} else "0") for number in range(100)]
    gevent.killall([gevent.spawn(ask, name) for name in names])
    assert not shown
    greenlets = [gevent.spawn(ask, name) for name in names]
    while len(shown) < 100:
        gevent.sleep(0)
    gevent.killall(greenlets)
    assert app.recorder.flush(60)
    assert sorted(record.path for record in chest.records) == sorted(names)
    print(*{{record.outcome for record in chest.records if record.outcome != "ok"}})
    """
    assert run_python(code, tmp_path).strip() == "shutdown"


def test_a_flush_in_a_greenlet_does_not_stop_the_others(tmp_path: Path) -> None:
    needs("gevent")
    code = f"""{_GREENLETS}
    from chest import ChestUnavailable
    def unavailable(records):
        raise ChestUnavailable("down", 0.01)
    chest.write = unavailable
    ask("/0")
    turns = 0
    def turn():
        global turns
        while True:
            gevent.sleep(0.01)
            turns += 1
    turning = gevent.spawn(turn)
    assert not app.recorder.flush(0.5)
    print(turns)
    app.recorder.close(0)
    """
    assert int(run_python(code, tmp_path)) > 10
