"""The defaults; ``FLASK_CHEST_URLS`` and the like in the environment come after them."""

from __future__ import annotations

CHEST_SERVICE = "shop"
CHEST_EXCLUDE_PATHS = ["/health"]
CHEST_URLS = "sqlite:///shop.sqlite3"
