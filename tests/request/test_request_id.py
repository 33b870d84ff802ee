"""Request ids."""

from __future__ import annotations

import re
import uuid

from chest.request.request_id import RequestIds

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_have_the_form_and_the_version_of_a_random_uuid() -> None:
    ids = RequestIds()
    made = [ids.new() for _ in range(1000)]
    assert len(set(made)) == len(made)
    assert all(UUID4.fullmatch(one) and uuid.UUID(one).version == 4 for one in made)


def test_every_random_bit_is_0_and_1_in_turn() -> None:
    ids = RequestIds()
    numbers = [uuid.UUID(ids.new()).int for _ in range(400)]
    fixed = 0xF << 76 | 0b11 << 62
    ever_one, ever_zero = 0, 0
    for number in numbers:
        ever_one |= number
        ever_zero |= ~number
    assert (ever_one & ever_zero & ((1 << 128) - 1)) == ((1 << 128) - 1) & ~fixed
