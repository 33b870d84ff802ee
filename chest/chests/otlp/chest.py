"""``OtlpChest``: a record as a span, or as a log record, for any collector of OpenTelemetry's."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import httpx

from chest.chests.contract import Chest
from chest.chests.http_client import HttpClient, HttpReply, chest_version, request_headers, secret_headers
from chest.chests.http_status import error_of
from chest.chests.otlp.request import SIGNALS, failure_text
from chest.chests.otlp.url import OtlpTarget
from chest.errors import ChestError, RecordRejected
from chest.record.messages import one_line
from chest.record.record import Record

__all__ = ["OtlpChest"]

_GZIP_LEVEL: Final = 1
"""Level 6 takes three times the time for a tenth of the size."""
_SHORTEST_SECRET: Final = 8
"""Headers of vendors' have names that do not sound secret; a shorter value is a word, such as ``true``."""
_LOG_EVERY_SECONDS: Final = 60.0
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
        self.name = target.name
        self._signal = SIGNALS[target.signal]
        self._is_gzipped = target.is_gzipped
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
        headers = httpx.Headers()
        if self._is_gzipped:
            headers["Content-Encoding"] = "gzip"
            content = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        answer = self._client.ask("POST", headers, content)
        if not 200 <= answer.status < 300:
            raise self._error_of(answer)
        self._note_rejected(answer, len(records))

    def check(self) -> None:
        """Send a request without a record, which tells whether the collector is there and knows the log-in."""
        answer = self._client.ask("POST")
        if not 200 <= answer.status < 300:
            error = self._error_of(answer)
            if not isinstance(error, RecordRejected):  # of a collector that takes no empty request
                raise error

    def counts(self) -> Mapping[str, int]:
        return {"rejected_by_collector": self._rejected}

    def wait_at_most(self, seconds: float) -> bool:
        self._client.wait_at_most(seconds)
        return True

    def close(self) -> None:
        self._client.close()

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
        told = failure_text(answer.content)
        said = self._client.without_secrets(told) if told else answer.said
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
