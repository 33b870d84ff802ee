"""``OwnHandle``: a client of librdkafka, which lives in the process that made it and in no child.

A client is threads, sockets and locks in C. In a forked child the threads are gone: a client that came through the fork hangs
there when it is used, and holds the process up or ends it with SIGABRT when it is let go of, if only by the interpreter's end.
So the child never touches it and never lets go of it, and makes another if it has something to send.
"""

from __future__ import annotations

import ctypes
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import KafkaError, KafkaException

from chest.chests.kafka.failures import error_of
from chest.chests.kafka.url import KafkaTarget
from chest.system.fork_guard import process_generation
from chest.system.threads import WakeEvent, start_thread

logger: Final = logging.getLogger("chest.chests.kafka")

_KEPT_ERRORS: Final = 50
_LOG_LEVEL: Final = 6
"""syslog's: all but what is for debugging librdkafka itself."""

C = TypeVar("C")


class OwnHandle(Generic[C]):
    """One client, until :meth:`release`.

    :param target: what the URL says.
    :param make: the class of the client.
    :param configuration: what it is told.
    :raises ChestUnavailable: it cannot be made so.
    """

    def __init__(self, target: KafkaTarget, make: Callable[..., C], configuration: dict[str, Any]) -> None:
        self.errors: deque[KafkaError] = deque(maxlen=_KEPT_ERRORS)
        """What the client reported since this was cleared, oldest first: it goes on trying by itself."""
        self._generation = process_generation()
        # What is logged is kept until the client is polled, which delivery does every few seconds if there is nothing to send.
        level = _LOG_LEVEL if logger.isEnabledFor(logging.DEBUG) else 0
        settings = {**configuration, "error_cb": self.errors.append, "log_level": level}
        try:
            self._client: C | None = make(settings, logger=_Log(target))
        except KafkaException as refusal:  # of a certificate that cannot be read, say
            raise error_of(target, [refusal.args[0]]) from None
        # One reference that nothing lets go of, neither the garbage collector nor the interpreter's end in a forked child.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._client))

    @property
    def is_ours(self) -> bool:
        """False in a process that was forked since."""
        return self._generation == process_generation()

    @property
    def client(self) -> C:
        """The client; only in the process that made it."""
        assert self._client is not None
        return self._client

    def release(self, leave: Callable[[C], object] = lambda _: None) -> WakeEvent:
        """Have the client end in a thread of its own; nothing in a forked child. Twice does nothing.

        To end it waits for its threads, and each of them for the answer of a name server, if it asked one.

        :param leave: called there before. What it raises is passed over.
        :return: set as soon as the client has left.
        """
        has_left = WakeEvent()
        if self._client is None or not self.is_ours:
            has_left.set()
            return has_left
        # By its address: so no reference is left here, which would have the client end when it goes.
        address, self._client = id(self._client), None

        def end() -> None:
            with suppress(Exception):
                leave(ctypes.cast(address, ctypes.py_object).value)
            has_left.set()
            with suppress(Exception):  # of a callback
                ctypes.pythonapi.Py_DecRef(ctypes.c_void_p(address))

        try:
            start_thread(end)
        except RuntimeError:  # there are no more threads, as at the interpreter's end: the client ends with the process
            has_left.set()
        return has_left


class _Log:
    """Takes librdkafka's log lines when the client is polled, for the log ``chest.chests.kafka``, level ``DEBUG``.

    Of a failure that matters the chest raises an error, which delivery logs once; librdkafka has a line for each of its tries,
    ten a second while a broker is down.
    """

    def __init__(self, target: KafkaTarget) -> None:
        self._target = target

    def log(self, level: int, message: str, *values: object) -> None:
        """As ``Logger.log``."""
        logger.debug("librdkafka: %s", self._target.without_secrets(message % values))
