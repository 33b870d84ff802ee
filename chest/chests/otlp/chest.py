"""``OtlpChest``: a record as a span, or as a log record, for any collector of OpenTelemetry's."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import httpx

from chest.chests.contract import Chest
from chest.chests.http_client import (
    HttpClient,
    HttpReply,
    chest_version,
    request_headers,
    secret_headers,
    tenants_label,
)
from chest.chests.http_status import error_of
from chest.chests.otlp.request import SIGNALS, failure_of
from chest.chests.otlp.url import OtlpTarget
from chest.errors import ChestError, ChestUnavailable, RecordRejected
from chest.record.messages import one_line
from chest.record.record import Record

__all__ = ["OtlpChest"]

_GZIP_LEVEL: Final = 1
"""Level 6 takes three times the time for a tenth of the size."""
_SHORTEST_SECRET: Final = 8
"""Headers of vendors' have names that do not sound secret; a shorter value is a word, such as ``true``."""
_LOG_EVERY_SECONDS: Final = 60.0
_BAD_REQUEST, _INTERNAL_ERROR = 400, 500
_OF_THE_RECORDS: Final = frozenset((3, 13))
"""``INVALID_ARGUMENT`` and ``INTERNAL``: with these codes OpenTelemetry's Collector says that sending a batch again is of no use. For
the second it answers 500. ``UNKNOWN``, which its older releases said of any error, may pass."""
_logger: Final = logging.getLogger("chest.chests.otlp")


class OtlpChest(Chest):
    """Sends a batch of records to a collector as spans, or as log records. Not for what must be stored exactly once.

    The protocol has nothing by which a batch that is sent again could be told: a record whose answer was lost arrives twice,
    with the same trace id, span id and ``chest.record_id`` (``log.record.uid``).

    What a collector accepts in part is not sent again: how many records it rejected is counted, as
    ``rejected_by_collector``, and logged at most once a minute.

    :param url: ``otlp://host:4318``, or ``otlp+https://``, with the path of the collector but for ``/v1/traces``; user and
        password in it are sent as Basic authentication. After a ``?``: ``signal=logs`` for log records in the place of spans;
        ``headers_env=NAME`` for headers from an environment variable of the form of ``OTEL_EXPORTER_OTLP_HEADERS``;
        ``gzip=0`` sends batches as they are; ``ca_file=/path`` for certificates to trust; ``timeout_seconds=10`` for each step
        of a request, twice as long for all of it.
    :param headers: sent with every request, such as a vendor's key; they win over those of ``headers_env``.
    :raises SettingsError: invalid chest URL or header.
    """

    is_idempotent: ClassVar[bool] = False
    is_write_checked: ClassVar[bool] = False

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        target = OtlpTarget.of(url)
        said = {**target.headers, **(headers or {})}
        sent = request_headers(target.authorization, said)
        sent["Content-Type"] = "application/x-protobuf"
        self.name = tenants_label(target.name, headers or {})
        self._signal = SIGNALS[target.signal]
        self._is_gzipped = target.is_gzipped
        self._is_gzip_taken = not self._is_gzipped
        self._rejected = 0
        self._log_at = 0.0
        self._client = HttpClient(
            self.name,
            target.url,
            sent,
            proxy=target.proxy(),
            verify=True if target.ca_file is None else target.ca_file,
            timeout_seconds=target.timeout_seconds,
            secrets=(
                *target.secrets,
                *secret_headers(sent),
                *(value for value in said.values() if len(value) >= _SHORTEST_SECRET),
            ),
        )

    def open(self) -> None:
        """Connects to nothing: that is done when there is something to send."""
        self._client.prepare()

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            content = self._signal.request_of(records, chest_version())
        # A number that does not fit, or a value that cannot be made text; a recorder never hands on such.
        except Exception as error:
            why = type(error).__name__
            raise RecordRejected(
                f"{self.name}: nothing can be made of a record ({why}).", self._refused(records)
            ) from error
        answer = self._post(content, is_gzipped=self._is_gzipped)
        if not _is_success(answer):
            failure = self._error_of(answer)
            if answer.status == _BAD_REQUEST and not self._is_gzip_taken:
                self.check()  # the fault may be that the records are compressed, and not theirs
            raise failure
        self._is_gzip_taken = True
        self._note_rejected(answer, len(records))

    def check(self) -> None:
        """Send a request without a record, which tells whether the collector is there, knows the log-in and decompresses."""
        answer = self._post(b"", is_gzipped=self._is_gzipped)
        if _is_success(answer):
            self._is_gzip_taken = True
            return
        error = self._error_of(answer)
        if not isinstance(error, RecordRejected):
            raise error
        if self._is_gzipped and _is_success(self._post(b"", is_gzipped=False)):
            raise ChestUnavailable(f"{error} if it is compressed: try ?gzip=0")
        # It takes no empty request, which says nothing of one with records.

    def counts(self) -> Mapping[str, int]:
        return {"rejected_by_collector": self._rejected}

    def wait_at_most(self, seconds: float) -> bool:
        self._client.wait_at_most(seconds)
        return True

    def close(self) -> None:
        self._client.close()

    def _post(self, content: bytes, *, is_gzipped: bool) -> HttpReply:
        headers = httpx.Headers()
        if is_gzipped:
            headers["Content-Encoding"] = "gzip"
            content = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        return self._client.ask("POST", headers, content)

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records no message can be made of."""
        refused = []
        for record in records:
            try:
                self._signal.request_of([record], "")
            except Exception:  # noqa: BLE001 - as above
                refused.append(record.id)
        return refused

    def _error_of(self, answer: HttpReply) -> ChestError:
        code, told = failure_of(answer.content)
        said = self._client.without_secrets(told) if told else answer.said
        if answer.status == _INTERNAL_ERROR and code in _OF_THE_RECORDS:
            return RecordRejected(f"{self.name} answered 500 ({one_line(said)}): it refuses what was sent")
        return error_of(self.name, answer.status, said, answer.headers)

    def _note_rejected(self, answer: HttpReply, sent: int) -> None:
        rejected, said = self._signal.rejected_of(answer.content)
        self._rejected += rejected
        if (rejected or said) and time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_EVERY_SECONDS
            shown = one_line(self._client.without_secrets(said)) or "no reason given"
            _logger.warning(
                "chest: %s rejected %d of %d records, which are not sent again: %s", self.name, rejected, sent, shown
            )


def _is_success(answer: HttpReply) -> bool:
    return 200 <= answer.status < 300
