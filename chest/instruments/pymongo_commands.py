"""``instrument_pymongo``: how many commands a request has sent to MongoDB, and how long they took."""

from __future__ import annotations

from typing import Final

from pymongo import monitoring

from chest.request.closed_contexts import current
from chest.request.context import add_elapsed

MONGO: Final = "mongo"


class CommandCounts(monitoring.CommandListener):
    """Adds each command to ``mongo_count`` and ``mongo_ms`` of the request that sends it."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """The server has answered."""
        self._count(event.duration_micros)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """The server has refused it, or has not answered."""
        self._count(event.duration_micros)

    @staticmethod
    def _count(micros: int) -> None:
        current().increment(f"{MONGO}_count")
        add_elapsed(current(), MONGO, micros * 1000)


def instrument_pymongo() -> CommandCounts:
    """A listener for ``MongoClient(event_listeners=[...])``: each command adds to ``mongo_count`` and ``mongo_ms``."""
    return CommandCounts()
