"""``ChestContract``: the contract that every chest keeps, as tests to run over yours.

.. code-block:: python

    class TestMyChest(ChestContract):
        @pytest.fixture
        def chest(self, tmp_path):
            with MyChest(f"mychest:{tmp_path}") as chest:
                yield chest

        def stored_records(self, chest):
            ...

A chest that can be read takes :class:`~chest.testing.readable_contract.ReadableChestContract` in its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from chest.chests.contract import Chest
from chest.chests.registry import open_chest
from chest.errors import SettingsError
from chest.record.record import Record
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Sanitizer
from chest.testing.records import make_record

__all__ = ["ChestContract", "in_child"]

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)

_WRITER: Final = """
import sys
from chest.chests.registry import open_chest
from chest.testing.records import make_record

with open_chest(sys.argv[1]) as chest:
    sys.stdin.readline()
    for batch in range(20):
        chest.write([make_record(request_id=f"{sys.argv[2]}-{batch}-{place}") for place in range(50)])
"""

_LIMITED_WRITER: Final = """
import base64, os, resource, sys
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable
from chest.testing.records import make_record

resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, resource.RLIM_INFINITY))
with open_chest(sys.argv[1]) as chest:
    for batch in range(20):
        records = []
        for place in range(30):
            text = base64.b85encode(os.urandom(1500)).decode()
            records.append(make_record(request_id=f"{batch}-{place}", variables={"text": text}))
        try:
            chest.write(records)
        except ChestUnavailable:
            continue
        print(batch, flush=True)
"""
"""A store that is no file does not notice. The text cannot be compressed, so that the limit is reached within a batch."""


class ChestContract:
    """What every chest keeps. Subclass it, give the ``chest`` fixture, and say how to look at what was stored.

    Every test begins with a chest of its own that holds nothing and was not opened; the fixture closes it.
    """

    @pytest.fixture
    def chest(self) -> Iterator[Chest]:
        """A chest that holds nothing and was not opened."""
        raise NotImplementedError("Give the fixture `chest`, as the docstring of chest.testing.contract shows.")

    @pytest.fixture
    def chest_url(self) -> str | None:
        """The URL by which another process reaches what ``chest`` writes; None if none can."""
        return None

    def stored_records(self, chest: Chest) -> list[Record]:
        """All that the chest stored, in whatever order."""
        raise NotImplementedError("Give the method `stored_records`, or subclass ReadableChestContract.")

    def test_a_batch_is_stored_whole_and_unchanged(self, chest: Chest) -> None:
        records = [make_record(request_id=f"request-{place}") for place in range(7)]
        chest.open()
        chest.write(records)
        assert _by_id(self.stored_records(chest)) == _by_id(records)

    def test_the_first_write_opens_the_chest(self, chest: Chest) -> None:
        record = make_record()
        chest.write([record])
        assert self.stored_records(chest) == [record]

    def test_opening_an_open_chest_changes_nothing(self, chest: Chest) -> None:
        chest.open()
        chest.write([make_record()])
        chest.open()
        assert len(self.stored_records(chest)) == 1

    def test_an_empty_batch_stores_nothing(self, chest: Chest) -> None:
        chest.open()
        chest.write([])
        assert self.stored_records(chest) == []

    def test_a_batch_that_comes_again_is_stored_once(self, chest: Chest) -> None:
        if not chest.is_idempotent:
            pytest.skip("this chest promises to store at least once")
        records = [make_record() for _ in range(10)]
        chest.write(records[:6])
        chest.write(records)
        chest.write([*records, records[0]])
        assert _by_id(self.stored_records(chest)) == _by_id(records)
        assert len(self.stored_records(chest)) == len(records)

    def test_text_of_every_plane_comes_back_as_it_was(self, chest: Chest) -> None:
        planes = "".join(chr(plane * 0x10000 + offset) for plane in range(17) for offset in (0x61, 0x3042, 0xFFFD))
        controls = "".join(map(chr, range(1, 0x20))) + "\x7f\x85\u2028\u2029\ufeff\u202e"
        record = make_record(
            request_id=planes,
            path="/" + controls + "'\"`;--%?\\{}$.,=",
            route=None,
            error="Ошибка",
            variables={planes: controls, "'; DROP TABLE chest_records; --": "\\\\' \"", "": ""},
            attributes={"emoji": "👩‍👩‍👧‍👦" * 10},
        )
        chest.write([record])
        assert self.stored_records(chest) == [record]

    def test_the_largest_and_smallest_values_come_back_as_they_were(self, chest: Chest) -> None:
        largest = make_record(
            id="f" * 32,
            request_id="r" * 255,
            time_ns=INT64_MAX,
            duration_ns=INT64_MAX,
            path="/" + "ä" * 16 * 1024,
            status=999,
            variables={
                "integers": [INT64_MIN, INT64_MAX, 0, -1],
                "floats": [5e-324, 1.7976931348623157e308, -0.5, 0.1],
                "text": "x" * 16 * 1024,
                "nested": {"list": [{"deep": [None, True, False, ""]}], "empty": {}, "none": []},
            },
        )
        smallest = make_record(
            id="0" * 32,
            request_id="",
            time_ns=0,
            duration_ns=0,
            method="",
            path="",
            route=None,
            status=None,
            outcome="",
            error=None,
            variables={},
            attributes={},
            service="",
            release="",
            host="",
        )
        chest.write([largest, smallest])
        assert _by_id(self.stored_records(chest)) == _by_id([largest, smallest])

    def test_whatever_an_application_said_is_stored_once_it_was_made_fit(self, chest: Chest) -> None:
        deep: dict[str, Any] = {}
        for _ in range(50):
            deep = {"deeper": deep}
        said = {
            "nul": "a\0b", "n\0l": 1, "surrogate": "\ud800", "nan": float("nan"), "infinity": float("-inf"),
            "large": 2**100, "deep": deep, "bytes": b"\xff", "set": {1}, "object": object(), "dotted.$name": {"$a.b": 1},
        }  # fmt: skip
        fit, _ = Sanitizer(Redaction((), ())).clean(said)
        record = make_record(variables=fit)
        chest.write([record])
        assert self.stored_records(chest) == [record]

    def test_ten_thousand_records_are_all_stored(self, chest: Chest) -> None:
        records = [make_record(request_id=str(place)) for place in range(10_000)]
        for start in range(0, len(records), 1000):
            chest.write(records[start : start + 1000])
        assert _by_id(self.stored_records(chest)) == _by_id(records)

    def test_two_processes_may_write_at_once(self, chest: Chest, chest_url: str | None) -> None:
        chest_url = _required_url(chest_url)
        chest.open()
        writers = [
            subprocess.Popen([sys.executable, "-c", _WRITER, chest_url, name], stdin=subprocess.PIPE, text=True)
            for name in ("one", "two")
        ]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate(timeout=60)
        assert [writer.returncode for writer in writers] == [0, 0]
        assert len({record.request_id for record in self.stored_records(chest)}) == 2 * 20 * 50

    @pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size on this platform")
    def test_what_is_said_to_be_written_is_there_also_where_a_file_may_not_grow(
        self, chest: Chest, chest_url: str | None
    ) -> None:
        chest_url = _required_url(chest_url)
        chest.open()
        run = [sys.executable, "-c", _LIMITED_WRITER, chest_url]
        written = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout.split()
        assert written, "not even one batch was taken"
        stored = {record.request_id for record in self.stored_records(chest)}
        assert not {f"{batch}-{place}" for batch in written for place in range(30)} - stored

    def test_closing_twice_does_nothing_and_a_closed_chest_is_opened_by_a_write(self, chest: Chest) -> None:
        chest.close()
        chest.write([make_record()])
        chest.close()
        chest.close()
        chest.write([make_record()])
        chest.close()
        chest.open()
        assert len(self.stored_records(chest)) == 2

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
    def test_a_chest_that_is_told_to_wait_less_goes_on_writing(self, chest: Chest) -> None:
        chest.write([make_record()])
        assert chest.wait_at_most(30) in (True, False)
        chest.write([make_record()])
        assert len(self.stored_records(chest)) == 2

    def test_an_open_chest_goes_on_after_a_fork_in_child_and_parent(self, chest: Chest, chest_url: str | None) -> None:
        chest.write([make_record(request_id="before")])
        in_child(lambda: chest.write([make_record(request_id="child")]))
        chest.write([make_record(request_id="after")])
        expected = {"before", "after"} if chest_url is None else {"before", "after", "child"}
        assert {record.request_id for record in self.stored_records(chest)} == expected

    def test_checking_a_chest_that_can_be_written_raises_nothing_and_stores_nothing(self, chest: Chest) -> None:
        chest.check()
        chest.write([make_record()])
        chest.check()
        assert len(self.stored_records(chest)) == 1


def in_child(work: Callable[[], Any]) -> None:
    """Do the work in a forked child, and fail when it fails there."""
    with warnings.catch_warnings():
        # What Python warns of, a fork in a process with threads, is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may leave the child but its exit status
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the work failed in the child"


def _required_url(chest_url: str | None) -> str:
    """The URL by which another process opens the chest; None skips the test."""
    if chest_url is None:
        pytest.skip("no other process can reach this chest")
    try:
        open_chest(chest_url).close()
    except SettingsError as error:
        pytest.skip(f"another process cannot open this URL before the chest's entry point is installed: {error}")
    return chest_url


def _by_id(records: list[Record]) -> dict[str, Record]:
    return {record.id: record for record in records}
