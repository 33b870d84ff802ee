"""Connections are tested as SQLite's chest uses them."""

from tests.chests.conftest import chest, execute, path, url

__all__ = ["chest", "execute", "path", "url"]
