"""The signals of ``chest.dockerflow``; with Flask, a receiver that is connected to the application, or to any sender, gets them."""

from __future__ import annotations

from chest.dockerflow import dockerflow_signals, heartbeat_failed, heartbeat_passed

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]
