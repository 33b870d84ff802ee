"""Checks for ``/__heartbeat__``: registering them, what they say, and those that are built in.

::

    from chest.dockerflow import checks

    @checks.register
    def storage_reachable():
        return [] if storage.ping() else [checks.Error("The storage gives no answer", id="shop.health.E001")]
"""

from __future__ import annotations

from chest.dockerflow.checks.built_in import check_database_connected, check_migrations_applied, check_redis_connected
from chest.dockerflow.checks.messages import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    STATUSES,
    WARNING,
    CheckMessage,
    Critical,
    Debug,
    Error,
    Info,
    Warning,  # noqa: A004 - python-dockerflow's name
    level_to_text,
)
from chest.dockerflow.checks.registry import clear_checks, get_checks, register, register_partial
from chest.dockerflow.checks.running import ChecksResults, run_checks, run_checks_async

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "STATUSES",
    "WARNING",
    "CheckMessage",
    "ChecksResults",
    "Critical",
    "Debug",
    "Error",
    "Info",
    "Warning",
    "check_database_connected",
    "check_migrations_applied",
    "check_redis_connected",
    "clear_checks",
    "get_checks",
    "level_to_text",
    "register",
    "register_partial",
    "run_checks",
    "run_checks_async",
]
