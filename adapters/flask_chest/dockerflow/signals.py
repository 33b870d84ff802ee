"""``chest.dockerflow.signals``; with Flask, who connects to the application hears them, and who connects to nobody."""

from __future__ import annotations

from chest.dockerflow.signals import dockerflow_signals, heartbeat_failed, heartbeat_passed

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]
