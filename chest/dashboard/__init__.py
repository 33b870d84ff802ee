"""The page: what requests do, and what is different about some of them, in a browser; ``docs/page.md`` has its endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.dashboard.page import ChestPage

__all__ = ["ChestPage"]

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, {"ChestPage": "chest.dashboard.page"})
