"""``Plan``: the same seed gives the same plan, and no plan asks for what cannot be kept."""

from __future__ import annotations

import pytest

from tests.field.plan import Event, ServerKind, StoreKind, can_meet, fits, plan_of
from tests.field.test_field import SHORT_FORM

SEEDS = range(2000)


def test_a_seed_always_gives_the_same_plan() -> None:
    assert [plan_of(seed) for seed in SEEDS] == [plan_of(seed) for seed in SEEDS]


def test_seeds_combine_every_server_with_every_store_and_every_event() -> None:
    plans = [plan_of(seed) for seed in SEEDS]
    assert {(plan.server, plan.store) for plan in plans} == {(a, b) for a in ServerKind for b in StoreKind}
    possible = {(a, b) for a in ServerKind for b in Event if any(fits(b, a, store) for store in StoreKind)}
    assert {(plan.server, event) for plan in plans for event in plan.events} == possible


@pytest.mark.parametrize("wanted", [ServerKind, StoreKind, Event])
def test_the_short_form_has_each_server_store_and_event(wanted: type[ServerKind | StoreKind | Event]) -> None:
    plans = [plan_of(seed) for seed in SHORT_FORM]
    found = (
        {plan.server for plan in plans} | {plan.store for plan in plans} | {e for plan in plans for e in plan.events}
    )
    assert set(wanted) <= found


def test_a_worker_is_not_killed_while_its_ring_is_in_memory() -> None:
    for plan in map(plan_of, SEEDS):
        for round_ in plan.rounds:
            assert len(round_.events) == 1 or can_meet(*round_.events)
            assert not {Event.KILLED, Event.RING_TAKEN} <= set(round_.events)


def test_every_event_of_a_plan_fits_its_server_and_its_store() -> None:
    plans = map(plan_of, SEEDS)
    assert all(fits(event, plan.server, plan.store) for plan in plans for event in plan.events)
