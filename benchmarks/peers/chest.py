"""Chest, every default on, to SQLite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rig.application import app
from benchmarks.rig.contenders import chest_around, settle


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """Five variables in the request's context."""
    middleware = chest_around(app, place / "chest")
    return middleware, partial(settle, middleware.recorder)
