"""The stress program, in its shortest form."""

from __future__ import annotations

from benchmarks.stress import TRIALS
from tests.processes import run_python


def test_one_round_of_each_trial_loses_nothing() -> None:
    said = run_python("import sys; from benchmarks.stress import main; sys.exit(main(['--seconds', '0']))", seconds=100)
    assert said.count("each found once") == len(TRIALS)
