"""The ids of the messages that built-in checks give: what ``silenced_checks`` takes and ``/__heartbeat__`` shows.

Those that begin with ``dockerflow.`` are python-dockerflow's. Ours begin with ``chest.``: no ``E`` of ours is about a store
of records, since an application answers requests without one.
"""

from __future__ import annotations

from typing import Final

INFO_CANT_CHECK_MIGRATIONS: Final = "dockerflow.health.I001"
WARNING_UNAPPLIED_MIGRATION: Final = "dockerflow.health.W001"
ERROR_CANNOT_CONNECT_DATABASE: Final = "dockerflow.health.E001"
ERROR_UNUSABLE_DATABASE: Final = "dockerflow.health.E002"
ERROR_MISCONFIGURED_DATABASE: Final = "dockerflow.health.E003"
ERROR_CANNOT_CONNECT_REDIS: Final = "dockerflow.health.E004"
ERROR_MISSING_REDIS_CLIENT: Final = "dockerflow.health.E005"
ERROR_MISCONFIGURED_REDIS: Final = "dockerflow.health.E006"
ERROR_REDIS_PING_FAILED: Final = "dockerflow.health.E007"
ERROR_DB_API_EXCEPTION: Final = "dockerflow.health.E008"
ERROR_SQLALCHEMY_EXCEPTION: Final = "dockerflow.health.E009"
ERROR_REDIS_EXCEPTION: Final = "dockerflow.health.E010"

ERROR_CHECK_FAILED: Final = "chest.health.E001"
"""A check raised, or did not return a list of messages."""
ERROR_CHECK_TIMED_OUT: Final = "chest.health.E002"
"""A check did not answer in time."""
WARNING_CHEST_UNREACHABLE: Final = "chest.health.W001"
WARNING_RING_FILLING: Final = "chest.health.W002"
WARNING_RECORDS_DROPPED: Final = "chest.health.W003"
WARNING_SPOOL_GROWING: Final = "chest.health.W004"
WARNING_DELIVERY_STOPPED: Final = "chest.health.W005"
WARNING_TRANSFER_BEHIND: Final = "chest.health.W006"
WARNING_EXPORT_BEHIND: Final = WARNING_TRANSFER_BEHIND
"""The former name."""
WARNING_RING_IN_MEMORY: Final = "chest.health.W007"
