"""The stress program, in its shortest form."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.endurance.soak import soak
from benchmarks.endurance.stress import TRIALS
from tests.processes import run_python


def test_one_round_of_each_trial_loses_nothing() -> None:
    said = run_python(
        "import sys; from benchmarks.endurance.stress import main; sys.exit(main(['--seconds', '0']))", seconds=100
    )
    assert said.count("each found once") == len(TRIALS)


def test_a_short_soak_finds_every_record_in_both_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.endurance.soak._LONGEST_OUTAGE_SECONDS", 1.5)
    monkeypatch.setattr("benchmarks.endurance.soak._LONGEST_HEALTH_SECONDS", 1.5)
    assert [target.what for target in soak(tmp_path, 4, 500).targets if not target.is_met] == []
