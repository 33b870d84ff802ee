"""``NatsReader``: a durable pull consumer, which gives records again until they are acknowledged."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from chest.chests.contract import Received, StreamReader
from chest.chests.nats.connection import Message, NatsConnection, NoResponders
from chest.chests.nats.connections import NatsConnections
from chest.chests.nats.stream import APIError, ask
from chest.chests.nats.url import NatsTarget
from chest.errors import ChestError, ChestUnavailable, SchemaMismatch
from chest.record.decoding import record_of_json
from chest.record.record import Record

__all__ = ["NatsReader"]

_CONSUMER_NOT_FOUND: Final = 10014
_ACK_WAIT_SECONDS: Final = 60
"""After which the records of a reader that was killed are given to another: longer than a target takes for a batch."""
_MOST_UNACKNOWLEDGED: Final = 100_000
"""Of all readers of a name."""
_SHORTEST_WAIT_SECONDS: Final = 0.1
_BUSY_WAIT_SECONDS: Final = 1.0
_ENDS_WITH: Final = frozenset((404, 408))
"""No more messages now; the time is over."""
_IDLE: Final = 100
_logger: Final = logging.getLogger("chest.chests.nats")


class NatsReader(StreamReader):
    """See :class:`~chest.chests.contract.StreamReader`.

    :param target: where the stream is.
    :param connections: to there; one is in use between two calls.
    :param name: the consumer's; characters that NATS does not take are replaced, and a hash tells such names apart.
    """

    def __init__(self, target: NatsTarget, connections: NatsConnections, name: str) -> None:
        self._target, self._connections = target, connections
        self._consumer = _consumer_name(name)
        self._connection: NatsConnection | None = None
        self._is_ready = False
        self._most = _MOST_UNACKNOWLEDGED
        self._held: list[bytes] = []
        """The places to acknowledge what was received."""
        self._ahead: list[Message] = []
        """Received, and not given yet."""

    def receive(self, limit: int, wait_seconds: float = 0.0) -> Received:
        """As the contract says; what the stream gives again comes alone, so that it is most often the batch that it was before."""
        with self._connected(wait_seconds) as connection:
            self._make_ready(connection)
            limit = min(limit, self._most)
            if not self._ahead:
                self._ahead = self._asked(connection, limit, max(wait_seconds, _SHORTEST_WAIT_SECONDS))
            while not self._ahead and self._has_more(connection):
                self._ahead = self._asked(connection, limit, _BUSY_WAIT_SECONDS)
            count = _alike(self._ahead[:limit])
            messages, self._ahead = self._ahead[:count], self._ahead[count:]
            return self._received(connection, messages)

    def acknowledge(self, received: Received) -> None:
        places: Sequence[bytes] = received.receipt or ()
        if not places:
            return
        with self._connected() as connection:
            inbox = connection.new_inbox()
            # The last is answered, and the server takes them in their order.
            connection.send(
                [
                    *(b"PUB %b 4\r\n+ACK\r\n" % place for place in places[:-1]),
                    b"PUB %b %b 4\r\n+ACK\r\n" % (places[-1], inbox),
                ]
            )
            while (message := connection.receive()).subject != inbox:
                pass
            if message.status:
                raise NoResponders(f"{self._target.name}: the consumer {self._consumer} is gone.")
        done = set(places)
        self._held = [place for place in self._held if place not in done]

    def pending(self) -> int:
        with self._connected() as connection:
            try:
                info = ask(connection, self._target, f"CONSUMER.INFO.{self._target.stream}.{self._consumer}")
            except APIError as error:
                if error.code != _CONSUMER_NOT_FOUND:
                    raise
                state = ask(connection, self._target, f"STREAM.INFO.{self._target.stream}")["state"]
                return int(state["messages"])
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    def close(self) -> None:
        connection = self._let_go()
        if connection is not None:
            self._connections.give_back(connection)

    def _let_go(self) -> NatsConnection | None:
        """Give back to the stream what was received and not acknowledged; the connection, if it is good."""
        connection, self._connection = self._connection, None
        held = self._held + [message.reply for message in self._ahead]
        self._held, self._ahead = [], []
        if connection is None or not held:
            return connection
        try:
            connection.begin(1.0)
            connection.send([b"PUB %b 4\r\n-NAK\r\n" % place for place in held])
            connection.settle()
        except ChestError:
            connection.close()
            return None
        return connection

    def _make_ready(self, connection: NatsConnection) -> None:
        """Make the consumer if there is none; one that an operator made is used as it is, if it loses nothing."""
        if self._is_ready:
            return
        target = self._target
        place = f"{target.stream}.{self._consumer}"
        try:
            config = ask(connection, target, f"CONSUMER.INFO.{place}")["config"]
        except APIError as error:
            if error.code != _CONSUMER_NOT_FOUND:
                raise
            wanted = {
                "durable_name": self._consumer, "ack_policy": "explicit", "deliver_policy": "all", "max_deliver": -1,
                "ack_wait": _ACK_WAIT_SECONDS * 10**9, "max_ack_pending": _MOST_UNACKNOWLEDGED, "filter_subject": target.subject,
            }  # fmt: skip
            body = {"stream_name": target.stream, "config": wanted}
            config = ask(connection, target, f"CONSUMER.CREATE.{place}", body)["config"]
        if config.get("deliver_subject") or config.get("ack_policy") != "explicit":
            raise SchemaMismatch(
                f"{target.name}: the consumer {self._consumer} is not a pull consumer with explicit acknowledgement: give this"
                " transfer another name."
            )
        if int(config.get("max_deliver") or 0) > 0:
            raise SchemaMismatch(
                f"{target.name}: the consumer {self._consumer} gives a record {config['max_deliver']} times only, so what a target"
                f" does not take meanwhile is lost: nats consumer edit {target.stream} {self._consumer} --max-deliver=-1"
            )
        most = int(config.get("max_ack_pending") or 0)
        self._most = most if most > 0 else _MOST_UNACKNOWLEDGED
        self._is_ready = True

    def _asked(self, connection: NatsConnection, limit: int, seconds: float) -> list[Message]:
        """What there is; the server answers with the first, or after so long, also while others have all that may be unacknowledged."""
        inbox = connection.new_inbox()
        body = json.dumps({"batch": limit, "no_wait": True, "expires": int(seconds * 10**9)}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._target.stream}.{self._consumer}".encode()
        connection.send([b"PUB %b %b %d\r\n%b\r\n" % (subject, inbox, len(body), body)])
        return list(self._messages(connection, inbox, limit))

    def _has_more(self, connection: NatsConnection) -> bool:
        """True if a server that gave nothing had only no time to."""
        info = ask(connection, self._target, f"CONSUMER.INFO.{self._target.stream}.{self._consumer}")
        return int(info["num_pending"]) > 0 and int(info["num_ack_pending"]) < self._most

    def _messages(self, connection: NatsConnection, inbox: bytes, limit: int) -> Iterator[Message]:
        """What one request brings."""
        count = 0
        while count < limit:
            message = connection.receive()
            if message.reply.startswith(b"$JS.ACK."):
                count += 1
                yield message
            elif message.subject != inbox or message.status == _IDLE:
                continue
            elif message.status in _ENDS_WITH:
                return
            elif message.status:
                said = message.said.decode("utf-8", "replace")
                if "MaxAckPending" in said or "Max Ack Pending" in said:
                    return
                self._is_ready = False
                raise ChestUnavailable(f"{self._target.name}: the consumer {self._consumer} gives nothing: {said}.")

    def _received(self, connection: NatsConnection, messages: Sequence[Message]) -> Received:
        records: list[Record] = []
        places: list[bytes] = []
        unreadable: list[bytes] = []
        for message in messages:
            record = record_of_json(message.payload)
            if record is None:
                unreadable.append(message.reply)
            else:
                records.append(record)
                places.append(message.reply)
        self._held += places
        if unreadable:
            connection.send([b"PUB %b 5\r\n+TERM\r\n" % place for place in unreadable])
            _logger.error(
                "chest: %s: %d messages are no records of Chest, and are passed over; the first is %s",
                self._target.name,
                len(unreadable),
                f"{_fields_of(unreadable[0])[1]} of the stream",
            )
        return Received(records, len(unreadable), places)

    @contextmanager
    def _connected(self, more_seconds: float = 0.0) -> Iterator[NatsConnection]:
        """The connection for the block; given up after an error, with what was received over it."""
        if self._connection is None:
            self._connection = self._connections.take(more_seconds)
        else:
            self._connections.begin(self._connection, more_seconds)
        used = self._connection
        try:
            yield used
        except BaseException as error:
            self._connections.note(used, error)
            self._is_ready = False
            connection = self._let_go()
            if connection is not None:
                connection.close()
            raise


def _consumer_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60]
    return name if plain == name else f"{plain}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _alike(messages: Sequence[Message]) -> int:
    """How many at the beginning are given again, or are not."""
    count = 0
    while count < len(messages) and _is_again(messages[count]) == _is_again(messages[0]):
        count += 1
    return count


def _is_again(message: Message) -> bool:
    return _fields_of(message.reply)[0] != "1"


def _fields_of(place: bytes) -> list[str]:
    """Deliveries and sequence, of ``$JS.ACK.stream.consumer.deliveries.sequence…``.

    Later servers put a domain and an account behind ``ACK``.
    """
    parts = place.decode("ascii", "replace").split(".")
    return parts[4:6] if len(parts) < 11 else parts[6:8]
