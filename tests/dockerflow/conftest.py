"""Checks are registered for a whole process: each test begins and ends with none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chest.dockerflow import checks


@pytest.fixture(autouse=True)
def no_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()
