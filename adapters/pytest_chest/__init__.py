"""Chest's plug-in for pytest: the records of a test, whatever application and recorder left them.

pytest loads it by itself. Chest is imported when a test asks for a fixture, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chest import Record
    from chest.testing import TestRecords

__all__ = ["assert_recorded", "chest_records"]


@pytest.fixture
def chest_records() -> Iterator[TestRecords]:
    """The records of the requests and the work of this test, as a sequence; see :class:`chest.testing.TestRecords`."""
    from chest.testing import TestRecords

    with TestRecords() as records:
        yield records


@pytest.fixture
def assert_recorded(chest_records: TestRecords) -> Callable[..., Record]:
    """``assert_recorded(route="/items/<int:id>", user_id=42)``: the first such record; without one an error shows those that are there."""
    return chest_records.assert_recorded
