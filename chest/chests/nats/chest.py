"""``NatsChest``: a message a request in a stream of NATS JetStream, for a fleet whose records go on from there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Final

from chest.chests.contract import StreamChest
from chest.chests.nats.connection import NatsConnection, NoResponders
from chest.chests.nats.connections import NatsConnections
from chest.chests.nats.reader import NatsReader
from chest.chests.nats.stream import look_at, make_ready, notices_of, publish, require_fit, takes_atomic
from chest.chests.nats.url import NatsTarget
from chest.errors import LoginRefused, RecordRejected
from chest.record.decoding import json_of_record
from chest.record.record import Record, record_key

__all__ = ["NatsChest"]

_HEADERS_BYTES: Final = 300
"""More than the headers of a message ever take."""
_logger: Final = logging.getLogger("chest.chests.nats")


class NatsChest(StreamChest):
    """One message a request in a stream of NATS JetStream. Not for questions: ``chest transfer`` takes records on to a store.

    Each message has the record's id as ``Nats-Msg-Id``, and the stream drops one that it remembers: a record that comes again
    within the stream's ``duplicate_window`` is stored once, one that comes later twice. The note of a killed request is a message of its own,
    so that the target of a transfer can replace it.

    All messages of a batch are sent, and then every answer is awaited; when ``write`` returns, the stream has each of them. A
    missing stream is made, and keeps records until ``max_age_days``. A user who may only publish is enough if there is the
    stream.

    :param url: ``nats://user:password@host:4222/stream``, with a token in the place of user and password, or ``nats+tls://``;
        several hosts of one cluster as ``host1,host2``; after a ``?``: ``subject=stream.records``; ``credentials=/path`` of a
        file with JWT and nkey; ``duplicate_window_seconds=3600``, ``max_age_days=7`` and ``replicas=3`` of a stream that is made;
        ``atomic=1`` to store up to 1,000 messages as a whole; ``ca_file=/path`` of certificates to trust, ``cert_file=/path`` of
        the client's own with its key, ``tls_first=1``; ``timeout_seconds=10`` for a whole call.
    :raises SettingsError: invalid chest URL, or a file of credentials that cannot be used.
    :raises MissingDependencyError: credentials need PyNaCl.
    """

    is_write_checked: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._target = NatsTarget.of(url)
        self.name = self._target.name
        self._connections = NatsConnections(self._target)
        self._notices: Sequence[str] = ()
        self._is_ready = self._is_atomic = False

    def open(self) -> None:
        if not self._is_ready:
            with self._connections.use() as connection:
                self._prepare(connection)

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says, but that without ``atomic=1`` a write that fails may have stored some of the records."""
        if not records:
            return
        messages = [(_message_id(record), line) for record, line in self._lines(records)]
        with self._connections.use() as connection:
            if not self._is_ready:
                self._prepare(connection)
            self._require_size(records, messages, connection.most_bytes)
            try:
                publish(connection, self._target, messages, is_atomic=self._is_atomic)
            except NoResponders:  # deleted since it was opened
                self._is_ready = False
                raise
            except RecordRejected as refusal:
                named = set(refusal.ids)
                ids = [record.id for record, (key, _) in zip(records, messages, strict=True) if key in named]
                raise RecordRejected(str(refusal), ids) from None

    def check(self) -> None:
        with self._connections.use() as connection:
            try:
                config = look_at(connection, self._target)
            except LoginRefused:  # it may only publish, and the log-in is known
                connection.settle()
                config = None
        if config is not None:
            require_fit(config, self._target)
            self._notices = notices_of(config, self._target)

    def notices(self) -> Sequence[str]:
        return self._notices

    def reader(self, name: str) -> NatsReader:
        return NatsReader(self._target, self._connections, name)

    def wait_at_most(self, seconds: float) -> bool:
        self._connections.wait_at_most(seconds)
        return True

    def close(self) -> None:
        self._connections.close()

    def _prepare(self, connection: NatsConnection) -> None:
        config: dict[str, Any] | None
        try:
            config = make_ready(connection, self._target)
        except LoginRefused:
            connection.settle()
            config = None  # it may only publish; whether there is a stream, the answers will tell
        self._is_atomic = self._target.is_atomic and config is not None and takes_atomic(config)
        self._notices = [] if config is None else notices_of(config, self._target)
        for notice in self._notices:
            _logger.warning("chest: %s: %s", self.name, notice)
        self._is_ready = True

    def _lines(self, records: Sequence[Record]) -> list[tuple[Record, bytes]]:
        """Each record as the line that an ``ndjson:`` chest writes, but for the time of storing, which the stream has."""
        lines, refused = [], []
        for record in records:
            try:
                lines.append((record, json_of_record(record)))
            except (TypeError, ValueError, OverflowError):
                refused.append(record.id)
        if refused:
            raise RecordRejected(f"{self.name} cannot hold a record: it is not JSON.", refused)
        return lines

    def _require_size(self, records: Sequence[Record], messages: Sequence[tuple[str, bytes]], most_bytes: int) -> None:
        too_large = [
            record.id
            for record, (_, line) in zip(records, messages, strict=True)
            if len(line) + _HEADERS_BYTES > most_bytes
        ]
        if too_large:
            raise RecordRejected(
                f"{self.name}: a record is larger than the server takes, {most_bytes:,} bytes (max_payload).", too_large
            )


def _message_id(record: Record) -> str:
    """The id; of the note of a killed request another one. What a header cannot hold is hashed."""
    key = record_key(record).replace(" ", "-")
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
