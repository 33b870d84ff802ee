"""``Balance``: what the clients saw, against what the store holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from chest.cli.demo.exchange import Exchange
from chest.record.record import Record


@dataclass(frozen=True)
class Balance:
    """The comparison that the demonstration is about."""

    answered: int
    """Requests whose whole response reached the client."""
    unanswered: Counter[str]
    """The other requests, by what happened to them."""
    stored: int
    """Records in the store."""
    missing: tuple[str, ...]
    """Answered requests that the store does not hold: their ids, or method and path if the id is not known."""
    doubled: tuple[str, ...]
    """Ids that the store holds more than once."""
    unseen: Counter[str]
    """Records of requests whose client got no answer, by outcome."""

    @property
    def is_complete(self) -> bool:
        """True if the store holds every answered request exactly once, and there were any."""
        return self.answered > 0 and not self.missing and not self.doubled

    @classmethod
    def of(cls, exchanges: Iterable[Exchange], records: Iterable[Record]) -> Balance:
        """Compare, by request id.

        :param exchanges: every request the clients made.
        :param records: every record of them in the store.
        """
        exchanges, records = list(exchanges), list(records)
        answered = [exchange for exchange in exchanges if exchange.is_answered]
        answered_ids = {exchange.request_id for exchange in answered}
        times_stored = Counter(record.request_id for record in records)
        return cls(
            answered=len(answered),
            unanswered=Counter(exchange.failure for exchange in exchanges if exchange.failure is not None),
            stored=len(records),
            missing=tuple((Counter(map(_name, answered)) - times_stored).elements()),
            doubled=tuple(request_id for request_id, times in times_stored.items() if times > 1),
            unseen=Counter(record.outcome for record in records if record.request_id not in answered_ids),
        )


def _name(exchange: Exchange) -> str:
    return exchange.request_id or f"{exchange.method} {exchange.path} (answered without a request id)"
