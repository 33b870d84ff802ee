"""What keeps a lock in MongoDB; the notes and locks themselves are tried on a server in tests/transfer/test_coordination.py."""

from __future__ import annotations

from typing import Any

import pytest

from chest.chests.mongodb import coordination as mongo_coordination
from tests.support import wait_until


def test_a_driver_that_breaks_amid_a_renewal_ends_neither_the_renewals_nor_the_wait_for_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mongo_coordination, "LEASE_SECONDS", 0.02)
    asked: list[tuple[str, str]] = []

    class Broken:
        def renew(self, key: str, holder: str) -> None:
            asked.append((key, holder))
            raise RuntimeError("cannot schedule new futures after shutdown")

    coordination: Any = Broken()
    renewal = mongo_coordination._Renewal(coordination, "lock exports", "us")
    wait_until(lambda: len(asked) > 2)
    renewal.end()
    count = len(asked)
    assert asked == [("lock exports", "us")] * count
