"""``PartRecords``: makes the records of parts of requests, for adapters that write them at once or give them to a recorder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from chest.record.counters import Counters
from chest.record.record import Record
from chest.record.record_id import RecordIds
from chest.recorder.recorder import Recorder
from chest.request.client.user import UserIds
from chest.request.completion import RequestCompletion
from chest.request.metadata import RequestMetadata
from chest.request.parts.sub_record import SubRecord
from chest.request.record_emitter import RecordEmitter
from chest.request.request_id import RequestIds
from chest.request.sanitizer.redaction import Redaction
from chest.request.selection import Selection
from chest.ring.line import Resource, decode_lines
from chest.settings.settings import Settings
from chest.system.fork_guard import call_in_child, check_fork


class PartRecords:
    """Makes records of :class:`SubRecord`, of everything that they hold but what redaction hides.

    For adapters that write such a record in the request's time, or have a recorder bring it to its chests.

    :param settings: ``service``, ``release`` and what to redact; the rest is not used.
    :param service: the application's name if ``settings`` name none.
    :param tracks: leave out the variables that ``settings`` do not track.
    """

    def __init__(self, settings: Settings, service: str, *, tracks: bool = False) -> None:
        self._selection = Selection(
            tracked_vars=settings.tracked_vars if tracks else None,
            redaction=Redaction(settings.redact, settings.unredacted),
            keeps_messages=settings.exception_messages,
            keeps_stacktraces=settings.exception_stacktraces,
            user_ids=UserIds(settings.user_ids, settings.user_ids_key),
        )
        self._process = UnrecordedProcess(Resource(settings.service or service, settings.release, socket.gethostname()))

        self._made = _Made()
        self._emitter = RecordEmitter(self._made.take, self._selection, self._process)

    def new_request_id(self) -> str:
        """An id as ``str(uuid.uuid4())`` makes it, at a fraction of the cost."""
        check_fork()
        return self._process.request_ids.new()

    def made(
        self,
        part: SubRecord,
        request_id: str,
        variables: Mapping[str, Any],
        metadata: RequestMetadata | None = None,
    ) -> Record | None:
        """The part's record, which no recorder takes; None if it could not be made.

        :param metadata: what else was said of it.
        """
        check_fork()
        self._made.line = b""
        part.finish_as(self._emitter, request_id, variables, metadata)
        made = decode_lines(self._made.line, self._process.resource)
        return made[0] if made else None

    def into(self, recorder: Recorder) -> RecordEmitter:
        """What a part is to be finished as, for the recorder to take its record."""
        return RecordEmitter(recorder.request_side.offer_line, self._selection, recorder.request_side)


class _Made(threading.local):
    """The line that this thread has made: an emitter costs a class, so there is one for all threads."""

    line = b""

    def take(self, line: bytes) -> None:
        self.line = line


class UnrecordedProcess:
    """The process of records that bypass a recorder: ids, and the names of service, release and host."""

    def __init__(self, resource: Resource) -> None:
        self.fork_guard = bytearray(b"\1")
        self.websockets: WeakSet[RequestCompletion] = WeakSet()
        self.in_flight = self.tally = None
        self.counters = Counters()
        self.request_ids = RequestIds()
        self.record_ids = RecordIds()
        self.resource = resource
        call_in_child(self._renew_ids)

    def prepare(self) -> None:
        """It is ready."""

    def _renew_ids(self) -> None:
        """A child must not make the ids that its parent makes."""
        self.record_ids.renew()
        self.request_ids.renew()
