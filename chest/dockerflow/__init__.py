"""What Mozilla's Dockerflow asks of an application, for any WSGI application; for Flask: ``flask_chest.dockerflow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.dockerflow import checks, health, version
    from chest.dockerflow.dockerflow import Dockerflow
    from chest.dockerflow.logging import (
        JsonLogFormatter,
        MozlogFormatter,
        MozlogHandler,
        RequestIdLogFilter,
        request_id_context,
    )
    from chest.dockerflow.middleware import DockerflowMiddleware
    from chest.dockerflow.options import DockerflowOptions
    from chest.dockerflow.signals import dockerflow_signals, heartbeat_failed, heartbeat_passed
    from chest.request.wsgi import WSGIAnswer

__all__ = [
    "Dockerflow",
    "DockerflowMiddleware",
    "DockerflowOptions",
    "JsonLogFormatter",
    "MozlogFormatter",
    "MozlogHandler",
    "RequestIdLogFilter",
    "WSGIAnswer",
    "checks",
    "dockerflow_signals",
    "health",
    "heartbeat_failed",
    "heartbeat_passed",
    "request_id_context",
    "version",
]

_HOMES: Final = {
    "WSGIAnswer": "chest.request.wsgi",
    "Dockerflow": "chest.dockerflow.dockerflow",
    "DockerflowMiddleware": "chest.dockerflow.middleware",
    "DockerflowOptions": "chest.dockerflow.options",
    **dict.fromkeys(
        ("JsonLogFormatter", "MozlogFormatter", "MozlogHandler", "RequestIdLogFilter", "request_id_context"),
        "chest.dockerflow.logging",
    ),
    **dict.fromkeys(("dockerflow_signals", "heartbeat_failed", "heartbeat_passed"), "chest.dockerflow.signals"),
    **{name: f"chest.dockerflow.{name}" for name in ("checks", "health", "version")},
}

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
