"""What Prometheus scrapes: requests by route, and the recorder itself, of all processes together; ``docs/metrics.md`` has the names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.metrics.collector import MetricsCollector, metrics_app

__all__ = ["MetricsCollector", "metrics_app"]

_HOMES: Final = dict.fromkeys(("MetricsCollector", "metrics_app"), "chest.metrics.collector")

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
