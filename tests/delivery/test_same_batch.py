"""A batch that is sent again is the same batch: the same records in the same order, whatever happened in between."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from chest import ChestUnavailable, Recorder
from chest.chests.contract import Chest
from chest.record.record import Record
from tests.processes import clean_environment, command_of
from tests.recording_server import RecordingServer, Reply, recording_server
from tests.support import lose_patience_soon, make_record, wait_until

RECORDS = 1300
"""More than one batch, and no multiple of it, of the ring's pieces or of the spool's."""

_APP = """
    import sys, threading, time
    from pathlib import Path
    from chest import Recorder
    from tests.support import make_record
    directory, delivery, times, *urls = sys.argv[1:]
    recorder = Recorder(urls, directory=Path(directory), flush_seconds=0.2, service="shop", delivery=delivery)
    recorder.prepare()
    def offer(times):
        # A thread each, and so a segment of the ring each, if they overlap.
        threads = [threading.Thread(target=offer_some) for _ in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("offered", flush=True)
    def offer_some():
        for _ in range(100):
            assert recorder.offer(make_record(recorder.request_side.record_ids))
    offer(int(times))
    for line in sys.stdin:
        offer(int(line))
"""


class LosesAnswers(Chest):
    """Takes what it is sent, and says that it could not while it is told to."""

    is_idempotent = False

    def __init__(self) -> None:
        self.name = "loses-answers:"
        self.is_answering = True
        self.batches: list[tuple[str, ...]] = []

    def open(self) -> None: ...

    def write(self, records: Sequence[Record]) -> None:
        self.batches.append(tuple(record.id for record in records))
        if not self.is_answering:
            raise ChestUnavailable(f"{self.name} lost its answer")

    def check(self) -> None: ...

    def close(self) -> None: ...

    def stored(self) -> list[str]:
        """What a store holds that tells a batch by its records."""
        return [id_ for batch in dict.fromkeys(self.batches) for id_ in batch]


def offered(recorder: Recorder, count: int) -> list[str]:
    recorder.prepare()
    records = [make_record(recorder.request_side.record_ids) for _ in range(count)]
    assert all(map(recorder.offer, records))
    return [record.id for record in records]


@contextlib.contextmanager
def started(command: Sequence[str], says: str) -> Iterator[subprocess.Popen[str]]:
    """A process, killed at the end of the block if not before."""
    with subprocess.Popen(
        command, env=clean_environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(says)
            yield process
        finally:
            process.kill()


def app(
    directory: Path, *urls: str, delivery: str = "thread", times: int = RECORDS // 100
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that offers 100 records so many times, and again if a line of its input says so."""
    return started(command_of(_APP, directory, delivery, times, *urls), "offered")


def sidecar(directory: Path, url: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started([sys.executable, "-m", "chest", "drain", str(directory), "--to", url], "Draining")


def keys_and_ids(server: RecordingServer) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (post.headers["idempotency-key"], tuple(each["id"] for each in json.loads(post.content)))
        for post in tuple(server.posts)
    ]


def test_a_batch_that_was_tried_goes_to_disk_as_one_and_comes_from_there_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_patience_soon(monkeypatch)
    chest = LosesAnswers()
    chest.is_answering = False
    recorder = Recorder([chest], directory=tmp_path, flush_seconds=0.02, service="shop")
    try:
        ids = offered(recorder, 900)
        wait_until(lambda: recorder.stats().get("spooled", {}).get(chest.name) == 900, 60)
        chest.is_answering = True
        wait_until(lambda: recorder.stats().get("unspooled", {}).get(chest.name) == 900, 60)
    finally:
        recorder.close(5)
    assert len(chest.batches) > len(set(chest.batches)), "it was sent again"
    assert sorted(chest.stored()) == sorted(ids)


@pytest.mark.parametrize("chests", [1, 2])
def test_what_a_killed_process_had_sent_is_sent_again_in_the_same_batches(tmp_path: Path, chests: int) -> None:
    with recording_server() as server, recording_server() as other:
        server.reply = Reply(delay_seconds=120)  # it has the batch, and the process never hears of it
        other.reply = Reply(204)
        urls = [f"{each.url}/records" for each in (server, other)[:chests]]
        with app(tmp_path, *urls):
            wait_until(lambda: bool(server.posts), 60)
        before = keys_and_ids(server)
        server.reply = Reply(204)
        recorder = Recorder(urls, directory=tmp_path, flush_seconds=0.02, service="shop")
        try:
            recorder.prepare()
            wait_until(lambda: len({id_ for _, ids in keys_and_ids(server) for id_ in ids}) == RECORDS, 60)
            wait_until(lambda: recorder.stats().get("recovered") == RECORDS, 60)
        finally:
            recorder.close(5)
        after = keys_and_ids(server)[len(before) :]
        assert before
        for batch in before:
            assert batch in after, "with the same key, and the same records"
        stored = [id_ for _, ids in dict(reversed(keys_and_ids(server))).items() for id_ in ids]
        assert len(stored) == len(set(stored)) == RECORDS


def test_a_killed_sidecar_s_batches_are_sent_again_by_the_next_one(tmp_path: Path) -> None:
    with recording_server() as server:
        server.reply = Reply(delay_seconds=120)
        url = f"{server.url}/records"
        with app(tmp_path, url, delivery="external", times=1) as process:
            assert process.stdin is not None
            with sidecar(tmp_path, url):
                wait_until(lambda: bool(server.posts), 60)
            process.stdin.write(f"{RECORDS // 100 - 1}\n")
            process.stdin.flush()
            assert process.stdout is not None
            assert process.stdout.readline() == "offered\n"
            before = keys_and_ids(server)
            server.reply = Reply(204)
            with sidecar(tmp_path, url):
                wait_until(lambda: len({id_ for _, ids in keys_and_ids(server) for id_ in ids}) == RECORDS, 60)
        assert before
        assert set(before) <= set(keys_and_ids(server)[len(before) :])
        stored = [id_ for _, ids in dict(reversed(keys_and_ids(server))).items() for id_ in ids]
        assert len(stored) == len(set(stored)) == RECORDS
