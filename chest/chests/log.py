"""``LogChest``: each record as a line of mozlog, ``request.summary``, on stdout or in a file."""

from __future__ import annotations

import errno
import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote

from chest.chests.contract import Chest
from chest.chests.url_options import refuse_unknown, yes_no_of
from chest.errors import ChestUnavailable
from chest.record import mozlog
from chest.record.record import Outcome, Record
from chest.system.files import cut_back, is_full

__all__ = ["LogChest"]

_OPTIONS: Final = ("logger", "variables")
_TIMEOUT_SECONDS: Final = 5.0
_PIECE_BYTES: Final = 4096
"""``PIPE_BUF`` of Linux: what several processes write into one pipe in pieces of at most this size stays whole."""
_FAILED: Final = frozenset((Outcome.ERROR, Outcome.WORKER_TIMEOUT, Outcome.KILLED))


class LogChest(Chest):
    """Writes ``request.summary`` as Dockerflow has it, one line of JSON a record.

    For a platform that collects the output of its processes. A line holds a summary, not the whole record:
    nothing can be read back. A batch that is written again after a failure may stand there twice.

    :param url: ``log:`` for the standard output, ``log:access.log`` or ``log:/var/log/access.log`` for a file (made with
        mode 0600, opened for each batch, so that it can be rotated). After ``?``: ``logger``, the ``Type`` of the lines
        (``request.summary``); ``variables=1`` adds the variables of a record to its ``Fields``.
    :raises SettingsError: a parameter that is unknown.
    """

    is_idempotent = False
    wants_summary: ClassVar[bool] = True
    """That ``user_agent.original`` and its like are shown here: see :mod:`chest.dockerflow.summary`."""

    def __init__(self, url: str = "log:") -> None:
        self.name = url
        address, _, query = url.partition("?")
        path = unquote(address.partition(":")[2])
        self._path = Path("/" + path.lstrip("/") if path.startswith("//") else path) if path else None
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        refuse_unknown(parameters, _OPTIONS, "A log chest")
        self._kind = parameters.get("logger") or "request.summary"
        self._has_variables = yes_no_of("variables", parameters.get("variables"))
        self._is_torn = False

    def open(self) -> None:
        if self._path is not None:
            os.close(self._opened(self._path))
        else:
            _standard_output()

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        lines = [mozlog.one_line(self._message(record)).encode() + b"\n" for record in records]
        if self._path is None:
            self._write_lines(_standard_output(), lines)
            return
        file = self._opened(self._path)
        try:
            self._write_lines(file, lines)
        finally:
            os.close(file)

    def check(self) -> None:
        if self._path is None:
            _standard_output()
        elif self._path.is_dir():
            raise ChestUnavailable(f"{self.name}: {self._path} is a directory; name a file in it.")
        elif not os.access(self._path if self._path.exists() else self._path.absolute().parent, os.W_OK):
            raise ChestUnavailable(
                f"{self.name}: {self._path} cannot be written; see its permissions and its directory."
            )
        elif is_full(self._path.absolute()):
            raise ChestUnavailable(f"{self.name}: the disk is full: make room.")

    def wait_at_most(self, seconds: float) -> bool:
        return True  # it waits for nothing but the disk

    def close(self) -> None:
        """Nothing is held open."""

    def _message(self, record: Record) -> dict[str, Any]:
        """The record, as Dockerflow's summary of a request."""
        fields = summary_fields(record)
        if self._has_variables:
            fields = {**record.variables, **fields}
        return mozlog.message(
            time_ns=record.time_ns + record.duration_ns,  # when it was said, as for any other line of a log
            kind=self._kind,
            logger=record.service,
            hostname=record.host,
            severity=mozlog.ERROR if fields["errno"] else mozlog.INFO,
            pid=os.getpid(),
            fields=fields,
        )

    def _opened(self, path: Path) -> int:
        try:
            # Without waiting for the reader of a named pipe.
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            reason = "no process reads from it" if error.errno == errno.ENXIO else error.strerror
            raise ChestUnavailable(f"{self.name}: {path} cannot be opened for writing: {reason}.") from error

    def _write_lines(self, file: int, lines: Sequence[bytes]) -> None:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        if self._is_torn:  # half a line stands there: what comes now begins a new one
            lines = [b"\n", *lines]
        for piece in _pieces(lines):
            rest, was_torn = piece, self._is_torn
            try:
                while rest:
                    self._wait(file, deadline)
                    try:
                        rest = rest[os.write(file, rest) :]
                    except BlockingIOError:
                        continue
                    self._is_torn = bool(rest) and rest is not piece
            except OSError as error:
                if rest is not piece and _try_cut_back(file, len(piece) - len(rest)):
                    self._is_torn = was_torn
                raise ChestUnavailable(f"{self.name}: cannot be written: {error.strerror}.") from error

    def _wait(self, file: int, deadline: float) -> None:
        """Wait until the file takes something; a pipe without a reader is a store that is down."""
        poll = select.poll()
        poll.register(file, select.POLLOUT)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise ChestUnavailable(
                f"{self.name}: its reader took nothing within {_TIMEOUT_SECONDS:g} s; does the program that reads it still run?"
            )


def summary_fields(record: Record) -> dict[str, Any]:
    """The fields of Dockerflow's ``request.summary``; with ``msg`` if the request failed."""
    is_failed = record.outcome in _FAILED
    attributes, variables = record.attributes, record.variables
    language = attributes.get("http.request.header.accept-language", "")
    fields = {
        "errno": 500 if is_failed else 0,
        "agent": attributes.get("user_agent.original", ""),
        "lang": ", ".join(map(str, language)) if isinstance(language, list) else language,
        "method": record.method,
        "path": record.path,
        "uid": attributes.get("enduser.id") or variables.get("uid") or variables.get("user_id") or "",
        "rid": record.request_id,
        "t": record.duration_ns // 1_000_000,
    }
    if "url.query" in attributes:
        fields["querystring"] = attributes["url.query"]
    if is_failed:
        fields["msg"] = attributes.get("exception.message") or record.error or record.outcome
    return fields


def _try_cut_back(file: int, taken: int) -> bool:
    """Remove the torn line that a full disk left in the file; False for a pipe, and if others have written after it."""
    try:
        end = os.lseek(file, 0, os.SEEK_CUR)
        if os.fstat(file).st_size != end:
            return False
    except OSError:
        return False
    cut_back(file, end - taken)
    return os.fstat(file).st_size != end


def _standard_output() -> int:
    try:
        return sys.stdout.fileno()  # and not its write, which would wait for a full pipe for ever
    except (AttributeError, OSError, ValueError) as error:
        raise ChestUnavailable(
            "log: this process has no standard output; name a file, as in log:access.log."
        ) from error


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """The lines, whole ones put together up to the size of a piece; a longer one is a piece of its own."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > _PIECE_BYTES:
            yield piece
            piece = b""
        piece += line
    yield piece
