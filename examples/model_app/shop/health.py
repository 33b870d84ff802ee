"""What Dockerflow's heartbeat looks at beside PostgreSQL, Redis and the migrations."""

from __future__ import annotations

from flask import Flask
from flask_chest.dockerflow import checks

from shop.payments import payments


def circuit_closed() -> list[checks.CheckMessage]:
    """A warning while the payment service is not asked."""
    state = payments().breaker.current_state
    return [] if state == "closed" else [checks.Warning(f"the circuit of payments is {state}", id="shop.health.W001")]


def init_app(app: Flask) -> None:
    """Register it; checks belong to the process."""
    checks.register(circuit_closed)
