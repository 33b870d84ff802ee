"""``compare``: how large its two sides are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chest.chests.asking.cube import Sample
from chest.chests.memory import MemoryChest
from chest.query import compare
from chest.testing.records import make_record


@pytest.fixture
def chest(monkeypatch: pytest.MonkeyPatch) -> MemoryChest:
    """Its samples are estimates: each is said to be of so many records that the next one seems to have fewer."""
    chest = MemoryChest()
    chest.write([make_record(status=500 if place % 4 == 0 else 200) for place in range(400)])
    matching, sample = iter((4300, 4000)), chest.sample
    monkeypatch.setattr(chest, "sample", _estimating(sample, lambda: next(matching)))
    return chest


def _estimating(sample: Callable[..., Sample], matching: Callable[[], int]) -> Callable[..., Sample]:
    def estimated(*args: Any, **options: Any) -> Sample:
        found = sample(*args, **options)
        return replace(found, matching=matching(), is_whole=False, basis=found.basis._replace(is_exact=False))

    return estimated


def test_a_selection_of_everything_leaves_no_rest_also_by_estimates(chest: MemoryChest) -> None:
    assert compare(chest, "status>=100").rest == 0


def test_the_rest_is_estimated_from_the_share_of_the_sample_that_is_not_selected(chest: MemoryChest) -> None:
    assert compare(chest, "status>=500").rest == 3000
