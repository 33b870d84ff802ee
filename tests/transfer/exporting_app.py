"""The application whose workers all have the same export; where to and how, the environment says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from chest import ChestMiddleware, Record, Recorder
from chest.request.wsgi import StartResponse, WSGIEnvironment
from chest.transfer import ScheduledTransfer

INTERVAL_SECONDS = 1


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Which process answered."""
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def note(record: Record) -> Record:
    """Say who sends this record; slowly, so that a leader can be killed during its work."""
    handle = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{os.getpid()} {record.id}\n".encode())
    os.close(handle)
    time.sleep(0.001)
    return record


recorder = Recorder(flush_seconds=0.05)
source = recorder.settings.chests[0]
recorder.scheduled_transfers.add(
    ScheduledTransfer(source, os.environ["TARGET"], INTERVAL_SECONDS, name="out", map=note, batch_records=100)
)
app = ChestMiddleware(answer, recorder=recorder)
