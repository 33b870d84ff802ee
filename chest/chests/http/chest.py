"""``HttpChest``: a batch of records as a POST request, to any endpoint that takes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import httpx

from chest.chests.batches import batch_id
from chest.chests.contract import Chest
from chest.chests.http.payload import Payload, of_records, of_value
from chest.chests.http.url import HttpTarget, format_of
from chest.chests.http_client import HttpClient, request_headers, secret_headers, tenants_label
from chest.chests.http_status import error_of
from chest.chests.url_options import timeout_seconds_of
from chest.errors import RecordRejected
from chest.record.record import Record

__all__ = ["HttpChest"]

_SAYS_NO: Final = frozenset((401, 403, 404, 407, 429))
_NOT_IMPLEMENTED: Final = 501
"""What an endpoint answers that knows POST and nothing else, such as one on ``http.server``."""


class HttpChest(Chest):
    """Sends a batch of records as one POST request. Not for what must be stored exactly once: HTTP cannot promise that.

    Without a ``payload_generator`` the body is a JSON array of records as objects, with ``format="ndjson"`` one object
    a line. Every wait has an end, certificates are verified, and a redirect (307, 308) is followed on the same host
    alone, so that records go where the configuration says.

    Each batch carries an ``Idempotency-Key`` made of its records' ids: a batch that is sent again because its answer
    was lost carries the same one. Whether that keeps it from being stored twice is up to the endpoint.

    429 and 503 (with ``Retry-After``), any other 5xx, a connection that fails and a timeout make the records wait; so do
    401, 403, 404, 405, 407, 415 and redirects, which the operator may correct. Any other 4xx refuses the batch.

    Example::

        Recorder(chests=[HttpChest("https://collector.example/records", headers={"Authorization": "Bearer …"})])

    :param url: ``https://host/path``; user and password in it are sent as Basic authentication. Of its parameters
        ``format=ndjson``, ``gzip=1`` and ``timeout_seconds=10`` are the chest's own and not sent.
    :param headers: sent with every request; they win over the chest's.
    :param params: more parameters for the URL, sent whatever their names.
    :param proxies: a proxy's URL, or URLs by scheme; None takes the environment's (``HTTPS_PROXY``, ``NO_PROXY``).
    :param payload_generator: called with the records, returns the body: text and bytes go as they are, a dict as form
        fields, or with ``json=True`` anything else as JSON. A batch for which it raises is refused.
    :param json: True if what ``payload_generator`` returns is sent as JSON.
    :param format: ``"json"`` or ``"ndjson"``, without a ``payload_generator``; None takes the URL's.
    :param gzip: True if bodies are compressed; None takes the URL's.
    :param verify: True if the server's certificate is verified; or the path of a file of certificates to trust.
    :param success_status_codes: the answers that mean "stored"; None takes every 2xx.
    :param timeout_seconds: for each step of a request, twice as long for all of it; None takes the URL's, else 10.
    :param name: a label for messages, in the place of the URL, if even its path is a secret.
    :raises SettingsError: invalid chest URL or option.
    """

    is_idempotent: ClassVar[bool] = False
    is_write_checked: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        proxies: str | Mapping[str, str] | None = None,
        payload_generator: Callable[[Sequence[Record]], Any] | None = None,
        json: bool = False,
        format: str | None = None,  # noqa: A002 - as in the URL
        gzip: bool | None = None,
        verify: bool | str = True,
        success_status_codes: Sequence[int] | None = None,
        timeout_seconds: float | None = None,
        name: str | None = None,
    ) -> None:
        target = HttpTarget.of(url, params or {})
        sent = request_headers(target.authorization, headers or {})
        self.name = name or tenants_label(target.name, headers or {}, params or {})
        self._format = format_of(format or target.format)
        self._is_gzipped = target.is_gzipped if gzip is None else gzip
        self._payload_generator = payload_generator
        self._is_json = json
        self._successes = range(200, 300) if success_status_codes is None else tuple(success_status_codes)
        self._client = HttpClient(
            self.name,
            target.url,
            sent,
            proxy=target.proxy(proxies),
            verify=verify,
            timeout_seconds=timeout_seconds_of(target.timeout_seconds if timeout_seconds is None else timeout_seconds),
            secrets=(*target.secrets, *secret_headers(sent)),
        )

    def open(self) -> None:
        """Connects to nothing: that is done when there is something to send."""
        self._client.prepare()

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            payload = self._payload(records)
        except Exception as error:
            raise RecordRejected(
                f"{self.name}: no body can be made of a record: {type(error).__name__}: {error}", self._refused(records)
            ) from error
        self._post(payload, batch_id([record.id for record in records]))

    def send(self, value: Any, idempotency_key: str | None = None) -> None:
        """Send what a ``payload_generator`` would return; for adapters whose records have another shape.

        :raises ChestUnavailable: not now.
        :raises RecordRejected: never as it is.
        """
        try:
            payload = of_value(value, as_json=self._is_json)
        except (TypeError, ValueError) as error:
            raise RecordRejected(f"{self.name}: no body can be made of the payload: {error}") from error
        self._post(payload, idempotency_key)

    def check(self) -> None:
        """Ask with HEAD whether the endpoint is there, with a good certificate, and knows the log-in."""
        answer = self._client.ask("HEAD")
        if answer.status in _SAYS_NO or (answer.status >= 500 and answer.status != _NOT_IMPLEMENTED):
            raise error_of(self.name, answer.status, answer.said, answer.headers)

    def wait_at_most(self, seconds: float) -> bool:
        self._client.wait_at_most(seconds)
        return True

    def close(self) -> None:
        self._client.close()

    def _payload(self, records: Sequence[Record]) -> Payload:
        if self._payload_generator is None:
            return of_records(records, self._format)
        return of_value(self._payload_generator(records), as_json=self._is_json)

    def _refused(self, records: Sequence[Record]) -> list[str]:
        """Which of the records no body can be made of."""
        refused = []
        for record in records:
            try:
                self._payload([record])
            except Exception:  # noqa: BLE001 - whatever the user's function raises
                refused.append(record.id)
        return refused

    def _post(self, payload: Payload, idempotency_key: str | None) -> None:
        headers = httpx.Headers()
        if payload.content_type is not None:
            headers["Content-Type"] = payload.content_type
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        content = payload.content
        if self._is_gzipped:
            headers["Content-Encoding"] = "gzip"
            content = payload.gzipped()
        answer = self._client.ask("POST", headers, content)
        if answer.status in self._successes:
            return
        if 200 <= answer.status < 300:
            raise RecordRejected(f"{self.name} answered {answer.status}, which is not among success_status_codes.")
        raise error_of(self.name, answer.status, answer.said, answer.headers)
