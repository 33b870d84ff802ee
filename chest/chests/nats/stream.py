"""The stream of a NATS chest: asked for, made, checked; and messages published into it."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Sequence
from typing import Any, Final

from chest.chests.nats.connection import Message, NatsConnection, NoResponders
from chest.chests.nats.url import NatsTarget
from chest.errors import ChestUnavailable, RecordRejected, SchemaMismatch
from chest.record.encoding import decode
from chest.record.messages import one_line

__all__ = ["APIError", "ask", "look_at", "make_ready", "notices_of", "publish", "require_fit", "takes_atomic"]

_STREAM_NOT_FOUND: Final = 10059
_IN_USE: Final = 10058
_TOO_LARGE: Final = 10054
"""A message is larger than the stream's ``max_msg_size``."""
_NO_ATOMIC: Final = frozenset((10174, 10177))
"""The stream takes no atomic batches; or the server, 2.12.0, takes none with ids."""
_ATOMIC_REFUSED: Final = frozenset((*_NO_ATOMIC, 10175, 10176, 10199, 10201, 10210))
"""The batch as a whole: most often because a message of it is there already."""
_DAY_NS: Final = 86_400 * 10**9
_ATOMIC_SINCE: Final = (2, 12)
_MOST_ATOMIC: Final = 1000
"""Messages in a batch, the server's limit."""


class APIError(ChestUnavailable):
    """JetStream refused a request; ``code`` is its own.

    :param message: what it said.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def ask(
    connection: NatsConnection, target: NatsTarget, what: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer of JetStream's interface to a request such as ``STREAM.INFO.shop``.

    :raises APIError: it refused.
    :raises LoginRefused: this user may not ask that.
    """
    try:
        message = connection.request(f"$JS.API.{what}", b"" if body is None else json.dumps(body).encode())
    except NoResponders:
        raise ChestUnavailable(
            f"{target.name}: JetStream does not answer: start the server with it (nats-server -js), and give this account"
            " access."
        ) from None
    found: dict[str, Any] = _decoded(message, target)
    if "error" in found:
        raise _error_of(found["error"], target)
    return found


def look_at(connection: NatsConnection, target: NatsTarget) -> dict[str, Any] | None:
    """The stream's configuration; None if there is no such stream."""
    try:
        config: dict[str, Any] = ask(connection, target, f"STREAM.INFO.{target.stream}")["config"]
    except APIError as error:
        if error.code == _STREAM_NOT_FOUND:
            return None
        raise
    return config


def make_ready(connection: NatsConnection, target: NatsTarget) -> dict[str, Any]:
    """The stream's configuration; one that is missing is made.

    :raises SchemaMismatch: the stream does not take the subject.
    """
    config = look_at(connection, target)
    if config is None:
        try:
            config = ask(connection, target, f"STREAM.CREATE.{target.stream}", _wanted(connection, target))["config"]
        except APIError as error:
            if error.code != _IN_USE:  # another process has made it meanwhile, with other options
                raise SchemaMismatch(f"{target.name}: the stream cannot be made: {error}") from None
            config = look_at(connection, target) or {}
    require_fit(config, target)
    return config


def require_fit(config: dict[str, Any], target: NatsTarget) -> None:
    """Refuse a stream that does not take the subject, removes a record for a newer one, or does not answer.

    :raises SchemaMismatch: it is one.
    """
    subjects = config.get("subjects") or []
    if not any(_covers(pattern.split("."), target.subject.split(".")) for pattern in subjects):
        raise SchemaMismatch(
            f"{target.name}: the stream {target.stream} does not take the subject {target.subject}, only"
            f" {one_line(', '.join(subjects)) or 'what it mirrors'}. Give the URL another ?subject=, or add the subject:"
            f" nats stream edit {target.stream} --subjects=…"
        )
    if config.get("no_ack"):
        raise SchemaMismatch(
            f"{target.name}: the stream {target.stream} does not say what it has stored (no_ack), so no record would ever"
            f" count as stored: nats stream edit {target.stream} --ack"
        )
    if config.get("max_msgs_per_subject", -1) > 0:
        raise SchemaMismatch(
            f"{target.name}: the stream {target.stream} keeps {config['max_msgs_per_subject']} messages of a subject only, and"
            f" all records have one: nats stream edit {target.stream} --max-msgs-per-subject=-1"
        )


def notices_of(config: dict[str, Any], target: NatsTarget) -> Sequence[str]:
    """What may double records, or lose those that no reader has taken yet."""
    notices = []
    window = int(config.get("duplicate_window") or 0) // 10**9
    if window < target.duplicate_window_seconds:
        wanted = target.duplicate_window_seconds
        notices.append(
            f"the stream {target.stream} remembers an id for {window} s only. A batch whose answer was lost, and that waits"
            f" longer in the spool, may be stored twice. Run: nats stream edit {target.stream} --dupe-window={wanted}s"
            f" (or expect less: ?duplicate_window_seconds={window or 1})"
        )
    bounds = [name for name in ("max_msgs", "max_bytes") if config.get(name, -1) > 0]
    if bounds and config.get("discard") != "new":
        notices.append(
            f"the stream {target.stream} has a bound ({', '.join(bounds)}) and removes the oldest records for new ones, also those"
            f" that no reader has taken. Run: nats stream edit {target.stream} --discard=new, and records wait in the spool instead"
        )
    if config.get("retention") == "interest":
        notices.append(
            f"the stream {target.stream} keeps a record only for readers that are there when it comes, and drops it if there is none"
            " (retention: interest). Run chest transfer once before, or make the stream with --retention=limits"
        )
    return notices


def publish(
    connection: NatsConnection, target: NatsTarget, messages: Sequence[tuple[str, bytes]], *, is_atomic: bool
) -> None:
    """Store messages, each once in the stream's window. When this returns, the stream has each of them.

    :param messages: the id and the payload of each.
    :param is_atomic: whether the stream takes batches as a whole: of each thousand, all are stored or none.
    :raises RecordRejected: the stream takes no message of this size, and has the others; ``ids`` are those of the messages.
    """
    if not is_atomic:
        _publish_each(connection, target, messages)
        return
    for start in range(0, len(messages), _MOST_ATOMIC):
        some = messages[start : start + _MOST_ATOMIC]
        if not _publish_as_one(connection, target, some):
            _publish_each(connection, target, some)


def takes_atomic(config: dict[str, Any]) -> bool:
    """True if the stream takes batches as a whole."""
    return bool(config.get("allow_atomic"))


def _publish_each(connection: NatsConnection, target: NatsTarget, messages: Sequence[tuple[str, bytes]]) -> None:
    """All are sent before the first answer is read."""
    subject = target.subject.encode()
    inboxes = {connection.new_inbox(): key for key, _ in messages}
    connection.send(
        [
            _frame(subject, inbox, b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % key.encode(), payload)
            for inbox, (key, payload) in zip(inboxes, messages, strict=True)
        ]
    )
    refused: list[str] = []
    failure: ChestUnavailable | None = None
    while inboxes:
        inbox, error = _answer(connection, target, inboxes)
        key = inboxes.pop(inbox)
        if isinstance(error, APIError) and error.code == _TOO_LARGE:
            refused.append(key)
        elif error is not None:
            failure = failure or error
    if failure is not None:
        raise failure
    if refused:
        raise RecordRejected(f"{target.name}: a record is larger than the stream's max_msg_size.", refused)


def _publish_as_one(connection: NatsConnection, target: NatsTarget, messages: Sequence[tuple[str, bytes]]) -> bool:
    """False if the server refuses the batch as a whole, of which it has stored nothing then."""
    subject, batch, inbox = target.subject.encode(), os.urandom(11).hex().encode(), connection.new_inbox()
    head = b"NATS/1.0\r\nNats-Msg-Id: %b\r\nNats-Batch-Id: " + batch + b"\r\nNats-Batch-Sequence: %d\r\n"
    frames = [
        _frame(subject, b"", head % (key.encode(), place) + b"\r\n", payload)
        for place, (key, payload) in enumerate(messages[:-1], 1)
    ]
    key, payload = messages[-1]
    frames.append(
        _frame(subject, inbox, head % (key.encode(), len(messages)) + b"Nats-Batch-Commit: 1\r\n\r\n", payload)
    )
    connection.send(frames)
    _, error = _answer(connection, target, (inbox,))
    if isinstance(error, APIError) and error.code in (*_ATOMIC_REFUSED, _TOO_LARGE):
        return False
    if error is not None:
        raise error
    return True


def _frame(subject: bytes, inbox: bytes, headers: bytes, payload: bytes) -> bytes:
    size = len(headers)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, inbox, size, size + len(payload), headers, payload)


def _answer(
    connection: NatsConnection, target: NatsTarget, inboxes: Container[bytes]
) -> tuple[bytes, ChestUnavailable | None]:
    """The inbox of the stream's next answer, and why its message was not stored; None if it was, now or before.

    Any program may subscribe to the subject and answer, before the stream does. What it says is passed over.
    """
    is_other = False
    while True:
        try:
            message = connection.receive()
        except ChestUnavailable as error:
            if not is_other or type(error) is not ChestUnavailable:
                raise
            raise ChestUnavailable(
                f"{error} Another program answers on {target.subject}, or another stream takes it."
            ) from None
        if message.subject not in inboxes:
            continue
        if message.status:
            return message.subject, NoResponders(
                f"{target.name}: no stream takes the subject {target.subject} now: it was deleted or edited, or has no leader."
            )
        said = _object_of(message)
        error_said = said.get("error")
        if isinstance(error_said, dict) and type(error_said.get("code")) is int:
            return message.subject, _error_of(error_said, target)
        if said.get("stream") == target.stream and type(said.get("seq")) is int:
            return message.subject, None
        is_other = True


def _object_of(message: Message) -> dict[str, Any]:
    """The object of an answer; empty if it is anything else."""
    try:
        found = decode(message.payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error_of(error: dict[str, Any], target: NatsTarget) -> APIError:
    said = one_line(str(error.get("description")))
    return APIError(f"{target.name}: JetStream says: {said}.", int(error.get("err_code") or 0))


def _decoded(message: Message, target: NatsTarget) -> Any:
    try:
        return decode(message.payload)
    except ValueError:
        raise ChestUnavailable(f"{target.name}: what answers is not JetStream.") from None


def _wanted(connection: NatsConnection, target: NatsTarget) -> dict[str, Any]:
    """A stream that keeps each record also after it was read, and refuses new records when it is full."""
    config: dict[str, Any] = {
        "name": target.stream, "subjects": [target.subject], "storage": "file", "retention": "limits", "discard": "new",
        "num_replicas": target.replicas, "max_age": (target.max_age_days or 0) * _DAY_NS,
        "duplicate_window": target.duplicate_window_seconds * 10**9,
    }  # fmt: skip
    if target.max_age_days is not None:
        config["duplicate_window"] = min(config["duplicate_window"], config["max_age"])
    if connection.version >= _ATOMIC_SINCE:
        config["allow_atomic"] = True
    return config


def _covers(pattern: Sequence[str], subject: Sequence[str]) -> bool:
    """True if the subject is one of the pattern's: ``*`` is any name, ``>`` any number of them."""
    for place, name in enumerate(pattern):
        if name == ">":
            return len(subject) > place
        if place >= len(subject) or name not in ("*", subject[place]):
            return False
    return len(pattern) == len(subject)
