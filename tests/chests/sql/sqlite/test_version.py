"""Which releases of SQLite an operator is told of."""

from __future__ import annotations

import pytest

from chest.chests.sql.sqlite.failure import version_notice


@pytest.mark.parametrize("version", [(3, 7, 0), (3, 40, 1), (3, 44, 5), (3, 45, 1), (3, 50, 6), (3, 51, 2)])
def test_a_release_with_the_wal_reset_fault_is_named_with_what_lessens_the_risk(version: tuple[int, ...]) -> None:
    notice = version_notice(version)
    assert notice is not None
    assert ".".join(map(str, version)) in notice
    assert "3.51.3" in notice
    assert "CHEST_DELIVERY=external" in notice


@pytest.mark.parametrize("version", [(3, 6, 23), (3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 52, 0), (4, 0, 0)])
def test_nothing_is_said_of_others(version: tuple[int, ...]) -> None:
    assert version_notice(version) is None
