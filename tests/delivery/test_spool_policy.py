"""When a batch goes to disk, as a table."""

from __future__ import annotations

import pytest

from chest.delivery.spool_policy import WorkerState, is_nearly_full, is_urgent, should_spool, should_spool_at_once

IDLE = WorkerState(0, None, is_writing=False, is_backing_off=False, is_spooling=False, has_room=True)


def state(**changes: object) -> WorkerState:
    return IDLE._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fill", "have_room", "expected"),
    [
        (0.0, [True], False),
        (0.5, [True], False),
        (0.51, [True], True),
        (0.0, [False], False),  # the only chest is late, and holds no other up
        (0.0, [False, False], False),
        (0.0, [True, False], True),  # it holds the other chest up
        (0.0, [], False),
    ],
)
def test_others_wait_if_the_ring_is_half_full_or_one_chest_of_several_has_no_room(
    fill: float, have_room: list[bool], expected: bool
) -> None:
    assert is_urgent(fill, have_room) is expected


@pytest.mark.parametrize(
    ("worker", "urgent", "expected"),
    [
        (state(), False, False),
        (state(), True, False),
        (state(waiting=1, oldest_seconds=4.9), False, False),
        (state(waiting=1, oldest_seconds=5.0), False, True),
        (state(waiting=1, oldest_seconds=0.9), True, False),
        (state(waiting=1, oldest_seconds=1.0), True, True),
        # a batch under way counts by its age, and does not go to disk itself
        (state(waiting=0, oldest_seconds=60.0, is_writing=True), True, False),
        (state(waiting=1, oldest_seconds=60.0, is_writing=True), False, True),
        # once batches went to disk the others follow, except one to try the chest with
        (state(waiting=1, oldest_seconds=0.0, is_spooling=True), False, False),
        (state(waiting=1, oldest_seconds=9.0, is_spooling=True), True, False),
        (state(waiting=1, oldest_seconds=0.0, is_spooling=True, is_backing_off=True), False, True),
        (state(waiting=1, oldest_seconds=0.0, is_spooling=True, is_writing=True), False, True),
        (state(waiting=2, oldest_seconds=0.0, is_spooling=True), False, True),
        (state(waiting=0, is_spooling=True, is_backing_off=True), False, False),
    ],
)
def test_what_waits_goes_to_disk_by_its_age(worker: WorkerState, urgent: bool, expected: bool) -> None:
    assert should_spool(worker, urgent) is expected


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        (state(), False),
        (state(is_backing_off=True), False),  # it failed once, and has room
        (state(waiting=1), False),
        (state(waiting=2, has_room=False), True),
        (state(is_spooling=True), False),  # the batch that tries the chest
        (state(is_spooling=True, is_backing_off=True), True),
        (state(is_spooling=True, waiting=1), True),
        (state(is_spooling=True, is_writing=True), True),
    ],
)
def test_a_batch_goes_to_disk_at_once_without_room_or_behind_others(worker: WorkerState, expected: bool) -> None:
    assert should_spool_at_once(worker) is expected


@pytest.mark.parametrize(("fill", "expected"), [(0.0, False), (0.75, False), (0.76, True), (1.0, True)])
def test_room_is_made_from_three_quarters_on(fill: float, expected: bool) -> None:
    assert is_nearly_full(fill) is expected
