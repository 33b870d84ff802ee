"""Signals about the heartbeat, for who counts it (blinker).

``heartbeat_passed`` is sent when no check said error or worse, ``heartbeat_failed`` else; for each request to
``/__heartbeat__``, its result being kept for a second or not. Receivers are given ``level``, the worst level of a message::

    @heartbeat_failed.connect
    def count(sender, level, **extra):
        statsd.incr("heartbeat.fail")

The sender is the :class:`~chest.dockerflow.Dockerflow`. With Flask, who connects to the application hears them too.
"""

from __future__ import annotations

from blinker import Namespace

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]

dockerflow_signals = Namespace()
heartbeat_passed = dockerflow_signals.signal("heartbeat-passed")
heartbeat_failed = dockerflow_signals.signal("heartbeat-failed")
