"""prometheus_client: one Counter and one Histogram, labels by name; nothing is delivered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rig.application import app
from benchmarks.rig.contenders import Prometheus


def contender(sink: str, place: Path) -> tuple[Callable[..., Any], Callable[[], object]]:
    """No variables: metrics hold none."""
    return Prometheus(app, by_name=True).wsgi, lambda: None
