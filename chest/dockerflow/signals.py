"""Signals about the heartbeat (blinker).

For each request to ``/__heartbeat__``, ``heartbeat_failed`` is sent if a check reported an error or worse, otherwise
``heartbeat_passed``; also if the result was kept from the second before. Receivers get ``level``, the worst level of a message::

    @heartbeat_failed.connect
    def count(sender, level, **extra):
        statsd.incr("heartbeat.fail")

The sender is the :class:`~chest.dockerflow.Dockerflow`; with Flask also the application.
"""

from __future__ import annotations

from blinker import Namespace

__all__ = ["dockerflow_signals", "heartbeat_failed", "heartbeat_passed"]

dockerflow_signals = Namespace()
heartbeat_passed = dockerflow_signals.signal("heartbeat-passed")
heartbeat_failed = dockerflow_signals.signal("heartbeat-failed")
