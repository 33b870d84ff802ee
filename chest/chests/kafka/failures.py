"""What librdkafka reports, as errors of Chest, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError

from chest.chests.kafka.url import KafkaTarget
from chest.errors import ChestUnavailable, LoginRefused, TLSRefused, UnknownDatabase, UnknownHost
from chest.record.messages import one_line

_LOGIN: Final = frozenset((KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED))
_MECHANISM: Final = frozenset((KafkaError.UNSUPPORTED_SASL_MECHANISM, KafkaError.ILLEGAL_SASL_STATE))
_RIGHTS: Final = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    )
)  # fmt: skip
NO_TOPIC: Final = frozenset(
    (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
)
OF_ITS_SIZE: Final = frozenset(
    (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE)
)
"""Said of a record that came alone, it is that record's fault for certain."""
OF_A_RECORD: Final = OF_ITS_SIZE | {
    KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP, KafkaError._INVALID_DIFFERENT_RECORD,
}  # fmt: skip
"""What a broker says of records that it will never take as they came: of all that came at once, though one may be to blame."""
_NOT_ENCRYPTED: Final = ("SSL handshake failed", "in state SSL_HANDSHAKE", " ssl.")
"""Of a broker that hangs up instead of encrypting; its code is that of any lost connection."""
_VAGUE: Final = frozenset(
    (
        KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE,
        KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT,
    )
)  # fmt: skip
"""What follows from another error, or from waiting for one in vain."""


def error_of(target: KafkaTarget, errors: Sequence[KafkaError]) -> ChestUnavailable:
    """The error of Chest that these are, of which the last ones say most.

    :param errors: what the client reported, oldest first.
    """
    telling = [error for error in errors if error.code() not in _VAGUE]
    for kind in (_LOGIN | _MECHANISM | _RIGHTS, {KafkaError._SSL}, {KafkaError._RESOLVE}, NO_TOPIC):
        found = [error for error in telling if error.code() in kind]
        if found:
            return _error_of(target, found[-1])
    if telling:
        return _error_of(target, telling[-1])
    return ChestUnavailable(
        f"{target.name} did not answer within {target.timeout_seconds:g} s: check the brokers, or allow more time"
        " (?timeout_seconds=)."
    )


def _error_of(target: KafkaTarget, error: KafkaError) -> ChestUnavailable:
    code, said = error.code(), one_line(target.without_secrets(error.str())).rstrip(".")
    if code in _LOGIN:
        return LoginRefused(f"{target.name} refused the log-in ({said}): check user, password and ?sasl= of the URL.")
    if code in _MECHANISM:
        return LoginRefused(f"{target.name} knows no such log-in ({said}): check ?sasl= of the URL.")
    if code in _RIGHTS:
        return LoginRefused(
            f"{target.name}: this log-in may not do that ({said}): it needs the rights Describe and Write on the topic, a"
            " reader Describe and Read on the topic and Read on its group."
        )
    if code == KafkaError._SSL or any(sign in said for sign in _NOT_ENCRYPTED):
        return TLSRefused(
            f"{target.name}: no encrypted connection can be made: check ?ca_file=, ?cert_file= and ?key_file= of the URL ({said})."
        )
    if code == KafkaError._RESOLVE:
        return UnknownHost(f"{target.name}: the host name cannot be resolved: check it in the URL ({said}).")
    if code in NO_TOPIC:
        return no_topic(target)
    return ChestUnavailable(f"{target.name} cannot be written or read now: {said}.")


def no_topic(target: KafkaTarget) -> UnknownDatabase:
    """The topic is missing, and is not to be made."""
    return UnknownDatabase(
        f"{target.name}: there is no topic {target.topic}: create it, or write ?partitions=6 in the URL to have it made."
    )
