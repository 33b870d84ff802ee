"""``KafkaTarget``: what the URL of a Kafka chest says, checked: brokers, log-in, topic and options, as settings of librdkafka."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, unquote

from chest.chests.registry import safe_url
from chest.chests.url_options import ServersUrl, refuse_unknown, timeout_seconds_of
from chest.errors import SettingsError
from chest.record.messages import masked

DEFAULT_TOPIC: Final = "chest_records"
_PORT: Final = 9092
_OPTIONS: Final = (
    "ca_file", "cert_file", "compression", "group", "key_file", "message_max_bytes", "partitions", "replication", "sasl",
    "timeout_seconds",
)  # fmt: skip
_TLS_OPTIONS: Final = ("ca_file", "cert_file", "key_file")
_COMPRESSIONS: Final = ("zstd", "lz4", "gzip", "snappy", "none")
_MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MESSAGE_MAX_BYTES: Final = 1_000_000
"""librdkafka's own, which leaves room for what a broker counts besides: it takes 1,048,588 unless told otherwise."""
SESSION_SECONDS: Final = 20.0
"""After which another reader has what one held that was killed."""
_CONNECT_SECONDS: Final = 5.0
"""Of a host that drops packets nothing more is heard: another broker is asked."""


_MOST_SOCKET_MS: Final = 300_000
"""librdkafka takes no more."""


class KafkaTarget(NamedTuple):
    """Where a Kafka chest writes."""

    name: str
    """A label for messages, without secrets."""
    brokers: tuple[str, ...]
    """``host:9092`` of each broker that is asked for the others."""
    topic: str
    security: dict[str, str]
    """The log-in and the encryption, as librdkafka names them."""
    compression: str
    message_max_bytes: int
    """Of a record's key, value and headers before they are compressed."""
    partitions: int | None
    """Of a topic that is missing; None: it is not made."""
    replication: int
    """Copies of a topic that is made; -1: as many as the broker's default says."""
    group: str | None
    """The consumer group of all readers, in the place of one made of their names."""
    timeout_seconds: float
    secrets: tuple[str, ...]
    """Texts of the URL that no message may hold."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What the URL says.

        :raises SettingsError: invalid chest URL.
        """
        url = ServersUrl.of(text)
        topic = unquote(url.path) or DEFAULT_TOPIC
        places = url.places(_PORT)
        if not places or "#" in text or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise SettingsError(_no_url(text))
        brokers, options = tuple(f"{host}:{port}" for host, port in places), url.options
        refuse_unknown(options, _OPTIONS, "A Kafka chest")
        is_encrypted = url.scheme.endswith("+ssl")
        for name in _TLS_OPTIONS:
            if name in options and not is_encrypted:
                raise SettingsError(f"?{name}=: nothing is encrypted over kafka://; write kafka+ssl://.")
        if "sasl" in options and not url.login:
            raise SettingsError("?sasl=: a log-in needs a user and a password: write kafka://user:password@host/topic.")
        if url.login and not (url.user and url.password):
            raise SettingsError(f"{safe_url(text)!r}: write a user and a password, or neither.")
        return cls(
            name=url.shown_at(",".join(brokers)) + quote(topic),
            brokers=brokers,
            topic=topic,
            security=_security(is_encrypted, url.user, url.password, options),
            compression=_one_of("compression", options.get("compression", "zstd"), _COMPRESSIONS),
            message_max_bytes=_number(
                "message_max_bytes", options.get("message_max_bytes"), 1000, 10**9, _MESSAGE_MAX_BYTES
            ),
            partitions=_number("partitions", options["partitions"], 1, 100_000, 1) if "partitions" in options else None,
            replication=_number("replication", options.get("replication"), 1, 100, -1),
            group=options.get("group") or None,
            timeout_seconds=timeout_seconds_of(options.get("timeout_seconds")),
            secrets=tuple(sorted({url.login.partition(":")[2], url.password} - {""}, key=len, reverse=True)),
        )

    def configuration(self) -> dict[str, Any]:
        """What every client of librdkafka is told, whatever it is for."""
        timeout_ms = self._timeout_ms()
        return {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": "wsgi-chest",
            **self.security,
            "socket.timeout.ms": min(max(timeout_ms, 1000), _MOST_SOCKET_MS),
            "socket.connection.setup.timeout.ms": max(1000, round(1000 * min(_CONNECT_SECONDS, self.timeout_seconds))),
            "allow.auto.create.topics": False,  # it would have the broker's defaults, not those of the URL
            "log.connection.close": False,
            "enable.metrics.push": False,
        }

    def producer_configuration(self) -> dict[str, Any]:
        """What a producer is told besides. That each record is stored by all replicas in sync is not for the URL to change."""
        return {
            **self.configuration(),
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": self.compression,
            "linger.ms": 20,
            "message.max.bytes": self.message_max_bytes,
            "message.timeout.ms": max(self._timeout_ms(), 1000),
            "partitioner": "murmur2_random",  # Java's, so that its programs look for a key where it is
        }

    def consumer_configuration(self, group: str) -> dict[str, Any]:
        """What a consumer of a group is told besides."""
        return {
            **self.configuration(),
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "session.timeout.ms": round(1000 * SESSION_SECONDS),
            "heartbeat.interval.ms": round(1000 * SESSION_SECONDS / 6),
            "queued.max.messages.kbytes": 16 * 1024,  # of each partition
        }

    def without_secrets(self, text: str) -> str:
        """The text for a message."""
        return masked(text, self.secrets)

    def _timeout_ms(self) -> int:
        return round(1000 * self.timeout_seconds)


def _security(is_encrypted: bool, user: str, password: str, options: dict[str, str]) -> dict[str, str]:
    protocol = ("SASL_" if user else "") + ("SSL" if is_encrypted else "PLAINTEXT")
    security = {"security.protocol": protocol}
    if user:
        # Over a connection that anyone may read, the password is not sent unless the URL asks for it.
        mechanism = options.get("sasl", "PLAIN" if is_encrypted else "SCRAM-SHA-512").upper()
        security["sasl.mechanisms"] = _one_of("sasl", mechanism, _MECHANISMS)
        security["sasl.username"], security["sasl.password"] = user, password
    names = {"ca_file": "ssl.ca.location", "cert_file": "ssl.certificate.location", "key_file": "ssl.key.location"}
    return security | {names[name]: options[name] for name in _TLS_OPTIONS if name in options}


def _no_url(text: str) -> str:
    return (
        f"{safe_url(text)!r} names no Kafka: write kafka://host:9092/topic or kafka+ssl://user:password@host:9092/topic,"
        " several brokers with commas between them; a topic is letters, digits, dots, _ and -, at most 249."
    )


def _one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    if given in known:
        return given
    raise SettingsError(f"?{name}={given!r}: there are {', '.join(known)}.")


def _number(name: str, given: str | None, least: int, most: int, default: int) -> int:
    if given is None:
        return default
    if given.isascii() and given.isdigit() and least <= int(given[:12]) <= most:
        return int(given)
    raise SettingsError(f"?{name}={given!r}: a whole number, {least} to {most}.")
