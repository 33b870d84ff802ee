"""For tests: of applications that use Chest, and of chests that others write."""

from __future__ import annotations

import pytest

# A test tool, imported by tests alone: their ``assert`` is shown with its values, as in a test file.
pytest.register_assert_rewrite("chest.testing.contract", "chest.testing.readable_contract")
