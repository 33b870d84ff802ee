"""A database of ClickHouse for each test, and a chest for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chest.chests.clickhouse.chest import ClickHouseChest
from tests.servers.clickhouse import ClickHouse


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    """Of an empty database."""
    return clickhouse.new_url()


@pytest.fixture
def chest(url: str) -> Iterator[ClickHouseChest]:
    with ClickHouseChest(url) as chest:
        yield chest


def rows(chest: ClickHouseChest) -> list[str]:
    """The ids of all rows, those that are there twice as well."""
    return [stored.record.id for stored in chest.read(limit=100_000)]
