"""The topic of a chest: asked for, and made."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from chest.chests.kafka.failures import error_of
from chest.chests.kafka.handle import OwnHandle
from chest.chests.kafka.url import KafkaTarget
from chest.system.threads import sleep

_FIRST_STEP_SECONDS: Final = 0.1
"""After which what the client reported meanwhile is looked at."""
_TRIES: Final = 4
"""Failures for each broker of the URL before all are taken for down: a name may have several addresses, tried in turn."""


def topic_error(
    handle: OwnHandle[Producer] | OwnHandle[Consumer], target: KafkaTarget, deadline: float
) -> KafkaError | None:
    """What a broker says is wrong with the topic; None: nothing is.

    :param deadline: on the monotonic clock; earlier if all brokers refuse the client.
    :raises ChestUnavailable: no broker answers.
    """
    errors, step = handle.errors, _FIRST_STEP_SECONDS
    errors.clear()
    while True:
        try:
            seconds = max(0.01, min(step, deadline - time.monotonic()))
            error: KafkaError | None = handle.client.list_topics(target.topic, seconds).topics[target.topic].error
        except KafkaException as failure:
            handle.client.poll(0)
            is_down = any(each.code() == KafkaError._ALL_BROKERS_DOWN for each in errors)
            has_tried = len(errors) > min(_TRIES * len(target.brokers), errors.maxlen or 0)
            if (is_down and has_tried) or time.monotonic() >= deadline:
                raise error_of(target, [failure.args[0], *errors]) from None
            step = _FIRST_STEP_SECONDS if is_down else 2 * step  # a slow answer needs a longer one
        else:
            return error


def create_topic(target: KafkaTarget, deadline: float) -> None:
    """Make the topic with the partitions and replicas of the URL; one that is there meanwhile stays as it is.

    :param deadline: on the monotonic clock; what is not made then is made later, or not.
    :raises ChestUnavailable: a broker refuses.
    """
    handle = OwnHandle(target, AdminClient, target.configuration())
    try:
        topic = NewTopic(target.topic, num_partitions=target.partitions or 1, replication_factor=target.replication)
        created = handle.client.create_topics([topic])[target.topic]
        # Not by waiting for it: under gevent its lock is a greenlet's, and a thread of librdkafka's lets go of it.
        while not created.done() and time.monotonic() < deadline:
            handle.client.poll(0)
            sleep(0.02)
        failure = created.exception(0) if created.done() else None
    finally:
        handle.release()
    if failure is not None:
        error = failure.args[0] if isinstance(failure, KafkaException) else KafkaError(KafkaError._FAIL)
        if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise error_of(target, [error])
