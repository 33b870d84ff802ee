"""Files mapped without a descriptor, in C and in Python."""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chest import native
from chest.native import Segment
from chest.ring import mapping
from tests.support import open_files_below

SIZE = 1 << 16


@pytest.fixture(params=["in_c", "in_python"])
def functions(request: pytest.FixtureRequest) -> Any:
    if request.param == "in_python":
        return mapping.map_file_in_python, mapping.hold_file_in_python, mapping.release_file_in_python
    if not native.IS_NATIVE:
        pytest.skip("Chest is not compiled here")
    return native.map_file, native.hold_file, native.release_file


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.truncate(descriptor, 2 * SIZE)
    yield descriptor
    os.close(descriptor)


def test_what_is_written_into_a_mapped_file_is_in_the_file_and_takes_no_descriptor(
    functions: Any, tmp_path: Path, descriptor: int
) -> None:
    with closing(Segment(-1, SIZE)) as segment:
        segment.write(b"gone")
        functions[0](segment, descriptor, SIZE, False)
        segment.write(b"kept")
        assert open_files_below(tmp_path) == [tmp_path / "file"]  # that of the fixture
    assert (tmp_path / "file").read_bytes().strip(b"\0") == b"kept"


def test_a_file_gets_what_was_in_memory_and_no_line_that_is_written_meanwhile_is_lost(
    functions: Any, tmp_path: Path, descriptor: int
) -> None:
    if functions[0] is mapping.map_file_in_python and not mapping.can_keep_in_python():
        pytest.skip("nothing holds other threads off here, so memory in use stays memory")
    lines = [b"%06d\n" % number for number in range(SIZE // 7)]
    with closing(Segment(-1, SIZE)) as segment:
        mapper = threading.Thread(target=lambda: [functions[0](segment, descriptor, 0, True) for _ in range(50)])
        segment.write(lines[0])
        mapper.start()
        for line in lines[1:]:
            segment.write(line)
            time.sleep(0)
        mapper.join()
    assert (tmp_path / "file").read_bytes().strip(b"\0") == b"".join(lines)


def test_a_file_that_cannot_be_mapped_leaves_the_memory_as_it_was(functions: Any, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "read-only", os.O_RDONLY | os.O_CREAT)
    with closing(Segment(-1, SIZE)) as segment:
        segment.write(b"kept")
        with pytest.raises(OSError, match=r"\[Errno"):
            functions[0](segment, descriptor, 0, True)
        segment.write(b" here")
        assert segment[:9] == b"kept here"
    os.close(descriptor)


def test_a_file_that_is_held_stays_locked_without_a_descriptor_and_a_child_holds_nothing(
    functions: Any, tmp_path: Path, descriptor: int
) -> None:
    held = os.open(tmp_path / "file", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    address = functions[1](held)
    os.close(held)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)  # lives on until its parent has looked
        os._exit(0)
    functions[2](address)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(reading)
    os.close(writing)
    os.waitpid(child, 0)


@pytest.mark.skipif(not native.IS_NATIVE, reason="Chest is not compiled here")
def test_pages_that_were_faulted_in_are_written_without_the_kernel(descriptor: int) -> None:
    size = 32 * SIZE  # many pages: the interpreter may need some of its own meanwhile
    os.truncate(descriptor, size)
    line = b"x" * mmap.PAGESIZE
    with closing(Segment(-1, size)) as segment:
        native.map_file(segment, descriptor, 0, False)
        if not native.fault_in(segment, 1, size):
            pytest.skip("this kernel cannot (Linux before 5.14)")
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(size // len(line)):
            segment.write(line)
        assert resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before < size // mmap.PAGESIZE // 2
    for begin, end in ((-1, SIZE), (SIZE, SIZE), (0, SIZE + 1)):
        with closing(Segment(-1, SIZE)) as segment:
            assert not native.fault_in(segment, begin - (begin < 0) * mmap.PAGESIZE, end)
    with pytest.raises(ValueError, match="closed"):
        native.fault_in(segment, 0, SIZE)
