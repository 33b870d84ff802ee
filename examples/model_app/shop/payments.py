"""The outgoing call: counted, with the request's id handed on, and behind a circuit breaker that all workers share."""

from __future__ import annotations

import httpx
import pybreaker
from flask import Flask, current_app

from chest import current
from chest.instruments import instrument_httpx
from shop.extensions import redis


class PaymentRefused(Exception):
    """The payment service cannot be asked; the customer is told to come back."""


class Payments:
    """The payment service of one application."""

    def __init__(self, app: Flask) -> None:
        self._client = httpx.Client(base_url=app.config["PAYMENTS_URL"], timeout=5)
        instrument_httpx(self._client)
        self.breaker = pybreaker.CircuitBreaker(
            fail_max=app.config["PAYMENTS_FAILURES"],
            reset_timeout=app.config["PAYMENTS_RESET_SECONDS"],
            throw_new_error_on_trip=False,  # else the call that opens the circuit would look like a refused one
            state_storage=pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, redis, namespace="payments"),
        )

    def pay(self, amount: int) -> str:
        """The id of the payment.

        :raises PaymentRefused: the service failed, or failed so often that it is not asked.
        """
        try:
            return str(self.breaker.call(self._ask, amount))
        except pybreaker.CircuitBreakerError as error:
            # A listener of pybreaker's hears of no refused call: it is counted where it is caught.
            current().increment("payments_refused")
            raise PaymentRefused("the payment service is not asked for a while") from error
        except httpx.HTTPError as error:
            raise PaymentRefused("the payment service failed") from error
        finally:
            current()["payments_circuit"] = self.breaker.current_state

    def _ask(self, amount: int) -> str:
        answer = self._client.post("/payments", json={"amount": amount})
        answer.raise_for_status()
        return str(answer.json()["id"])


def payments() -> Payments:
    """Those of the current application."""
    found: Payments = current_app.extensions["payments"]
    return found


def init_app(app: Flask) -> None:
    """Give the application its payments, and answer 503 while they cannot be made."""
    app.extensions["payments"] = Payments(app)
    app.register_error_handler(PaymentRefused, lambda error: ({"error": str(error)}, 503))
