"""A segment in C beside the mapping of the standard library that it stands in for."""

from __future__ import annotations

import mmap
import operator
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chest.native import IS_NATIVE, Segment
from tests.processes import run_python, running_python

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def outcome_of(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


def _are_errors(found: list[Any]) -> bool:
    """Either of two faults may be told first."""
    return all(isinstance(one, type) for one in found)


operations = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=3000)),
    st.tuples(st.just("write"), st.sampled_from([bytearray(b"abc"), memoryview(b"abc"), "abc", None, 3])),
    st.tuples(st.just("seek"), st.one_of(st.integers(-10, 5000), st.sampled_from([2**70, "0", None]))),
    st.tuples(st.just("tell")),
    st.tuples(st.just("find"), st.binary(min_size=1, max_size=2), st.integers(0, 4096), st.integers(0, 4096)),
    st.tuples(st.just("close")),
)


@settings(deadline=None)
@given(st.lists(operations, max_size=20))
def test_a_segment_does_as_a_mapping_of_the_standard_library(said: list[tuple[Any, ...]]) -> None:
    sides = mmap.mmap(-1, 4096), Segment(-1, 4096)
    for name, *arguments in said:
        found = [outcome_of(getattr(side, name), *arguments) for side in sides]
        if name == "seek" and isinstance(found[0], int):
            found[0] = None  # from Python 3.13 on it says where it went
        assert found[0] == found[1] or _are_errors(found), name
        contents = [outcome_of(operator.getitem, side, slice(None)) for side in sides]
        assert contents[0] == contents[1]


def test_a_write_to_a_closed_segment_is_refused_and_keeps_no_line() -> None:
    segment = Segment(-1, 4096)
    segment.close()
    with pytest.raises(ValueError, match="closed"):
        segment.write(b"a")


_TRUNCATING = """
    import os, sys
    from pathlib import Path
    from chest.ring.segments.file import SegmentFile
    path = Path(sys.argv[1])
    file = SegmentFile.create(path, 1 << 20, {})
    for segment in file.segments[:2]:
        segment.write(b"before\\n")
    os.truncate(path, 0)
"""


def test_a_file_that_is_cut_under_its_mapping_costs_what_it_held_and_not_the_process(tmp_path: Path) -> None:
    code = f"""{_TRUNCATING}
    file.segments[0].write(b"after\\n")
    assert file.segments[0][:14] == bytes(7) + b"after\\n\\0"
    assert file.segments[1].find(b"\\n") == -1
    assert file.states() == bytes(16)
    assert file.faults >= 3
    """
    run_python(code, tmp_path / "main.1.aa.ring")


def test_a_handler_of_faults_that_came_later_tells_of_it_and_the_process_goes_on(tmp_path: Path) -> None:
    code = f"""{_TRUNCATING}
    import faulthandler
    faulthandler.enable(file=open(path.with_suffix(".told"), "w"))
    file.segments[0].write(b"after\\n")
    file.segments[1].write(b"after\\n")
    assert file.segments[1][7:13] == b"after\\n"
    """
    run_python(code, tmp_path / "main.1.aa.ring")


def test_a_bus_error_elsewhere_still_ends_the_process_or_is_the_application_s(tmp_path: Path) -> None:
    elsewhere = f"""{_TRUNCATING}
    import mmap
    with open(path, "r+b") as other:
        other.truncate(4096)
        theirs = mmap.mmap(other.fileno(), 4096)
        other.truncate(0)
    theirs[0]
    """
    with running_python(elsewhere, tmp_path / "main.1.aa.ring") as process:
        assert process.wait(60) == -signal.SIGBUS
    sent = """
    import faulthandler, os, signal, sys
    from pathlib import Path
    from chest.ring.segments.file import SegmentFile
    seen = []
    signal.signal(signal.SIGBUS, lambda *_: seen.append(1))
    file = SegmentFile.create(Path(sys.argv[1]), 1 << 20, {})
    os.kill(os.getpid(), signal.SIGBUS)
    assert seen == [1]
    """
    run_python(sent, tmp_path / "main.2.bb.ring")
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"
    with running_python(f"{_TRUNCATING}    {kill}\n", tmp_path / "main.3.cc.ring") as process:
        assert process.wait(60) == -signal.SIGBUS
