"""``PartRecords``: makes the records of parts of requests, for who wants one now and for who has a recorder take it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from chest.counters import Counters
from chest.record import Record
from chest.record_id import RecordIds
from chest.recorder import Recorder
from chest.request.part import RequestPart
from chest.request.recording import Recording
from chest.request.redaction import Redaction
from chest.request.request_id import RequestIds
from chest.request.selection import Selection
from chest.ring.line import Resource, decode_lines
from chest.settings import Settings


class PartRecords:
    """Makes records of :class:`RequestPart`, of everything that they hold but what redaction hides.

    For adapters that write such a record in the request's time, or have a recorder bring it to its chests.

    :param settings: ``service``, ``release`` and what to redact; the rest is not used.
    :param service: what the application is called where ``settings`` do not say.
    """

    def __init__(self, settings: Settings, service: str) -> None:
        self._selection = Selection(redaction=Redaction(settings.redact, settings.unredacted))
        self._process = _Process(Resource(settings.service or service, settings.release, socket.gethostname()))

    def new_request_id(self) -> str:
        """An id as ``str(uuid.uuid4())`` makes it, at a fraction of the cost."""
        self._process.renew_after_fork()
        return self._process.request_ids.new()

    def made(self, part: RequestPart, request_id: str, variables: Mapping[str, Any]) -> Record | None:
        """The part's record, offered to nobody; None where it could not be made."""
        self._process.renew_after_fork()
        lines: list[bytes] = []
        part.finish_as(Recording(lines.append, self._selection, self._process), request_id, variables)
        made = decode_lines(b"".join(lines), self._process.resource)
        return made[0] if made else None

    def into(self, recorder: Recorder) -> Recording:
        """What a part is to be finished as, for the recorder to take its record."""
        return Recording(recorder.offer_line, self._selection, recorder)


class _Process:
    """What a record is made with that no recorder takes: ids, and the names of service, release and host."""

    def __init__(self, resource: Resource) -> None:
        self.mark = bytearray(b"\1")
        self.in_flight = None
        self.counters = Counters()
        self.request_ids = RequestIds()
        self.record_ids = RecordIds()
        self.resource = resource
        self._pid = os.getpid()

    def prepare(self) -> None:
        """It is ready."""

    def renew_after_fork(self) -> None:
        """A child must not make the ids that its parent makes."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self.record_ids.renew()
            self.request_ids.renew()
