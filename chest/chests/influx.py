"""``InfluxChest``: records as points of an InfluxDB 2 bucket, or of any store that takes its writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from chest.chests.base import Chest
from chest.chests.http_answer import error_of
from chest.chests.influx_shapes import SHAPES, FieldTypes
from chest.chests.influx_target import InfluxTarget
from chest.chests.store_text import shortened
from chest.errors import ChestError, ChestUnavailable, RecordRejected
from chest.native import socket_home
from chest.record import Record

__all__ = ["InfluxChest"]

_MOST_CONFLICTS: Final = 32
"""The server names one field of a wrong type at a time; each one costs another try."""
_TOO_LARGE: Final = 413
_NO_POINTS: Final = b"#"
"""A comment: the server looks at log-in, organization and bucket first, and finds nothing to write."""
_CONFLICT: Final = re.compile(
    r'field type conflict: input field "(.*?)" on measurement "(.*?)" is type (\w+), already exists as type (\w+)',
    re.DOTALL,
)


class InfluxChest(Chest):
    """Points in a bucket of InfluxDB 2: for graphs over many requests, less for finding one.

    With ``shape=request``, the default, a request is one point: the measurement is the service; tags are method, route
    (``_unmatched`` without one), status, outcome, service and ``custom_tags``; fields are ``duration_ms``,
    ``request_id`` and the variables. With ``shape=variable`` a variable is one point, as Flask-Chest writes them: the
    measurement is its name, ``request_id`` a tag, the field is ``value``. That makes every request a series of its own,
    of which InfluxDB keeps an index in memory: it grows slow by the hundred thousand.

    Numbers are written as float, so that 1 and 1.5 fit one field, and what is nested as JSON text. A field's type cannot
    change: a value of another type than the field's first goes to ``<name>_<type>`` and is counted in
    ``type_conflicts``. The last four digits of a timestamp are a hash of the record's id, so that two requests never
    become one point, and a record that is written twice is stored once.

    :param url: ``influxdb://host:8086/org/bucket``, or ``influxdb+https://``; after a ``?``: ``token=`` (better in the
        environment: ``INFLUXDB_TOKEN``), ``shape=request``, ``integers=a,b`` for variables to write as integers, and
        ``timeout_seconds=10``.
    :param token: in the place of the URL's.
    :param custom_tags: more tags for every point. Each value of a tag makes series of its own: few of them, please.
    :raises SettingsError: the URL cannot be meant as it stands.
    """

    def __init__(self, url: str, *, token: str | None = None, custom_tags: Mapping[str, str] | None = None) -> None:
        target = InfluxTarget.of(url)
        self.name = target.name
        self._target = target
        self._token = target.token if token is None else token
        self._custom_tags = {str(name): str(value) for name, value in (custom_tags or {}).items()}
        self._points = SHAPES[target.shape]
        self._types = FieldTypes()
        self._clients: dict[tuple[int, int], InfluxDBClient] = {}

    @property
    def type_conflicts(self) -> int:
        """How many values of this process went to a second field name, because their type was not the field's."""
        return self._types.conflicts

    def open(self) -> None:
        """Connects to nothing: that is done when there is something to write."""
        self._client()

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says; and a batch that is too large for the server is sent in halves."""
        for _ in range(_MOST_CONFLICTS):
            conflicts = self._types.conflicts
            lines = list(self._lines(records))
            try:
                with self._explained():
                    self._send(lines)
                return
            except _TypeConflict as conflict:
                self._types.conflicts = conflicts
                if not self._types.learn(conflict.measurement, conflict.field, conflict.known_type):
                    raise RecordRejected(f"{self.name} refused a field for its type: {conflict}") from None
        raise RecordRejected(f"{self.name}: more than {_MOST_CONFLICTS} fields of one batch changed their type")

    def check(self) -> None:
        """Write a comment: as far as possible the same way, and no point."""
        client = self._new_client()
        try:
            with self._explained():
                self._post(client, _NO_POINTS)
        except RecordRejected as error:
            if "requires points" not in str(error):
                raise
        finally:
            client.close()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        client = self._clients.pop(socket_home(), None)
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def _lines(self, records: Sequence[Record]) -> Iterator[bytes]:
        for record in records:
            for point in self._points(record, self._custom_tags, self._target.integers, self._types):
                yield point.line().encode()

    def _send(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        try:
            self._post(self._client(), b"\n".join(lines))
        except ApiException as error:
            if error.status != _TOO_LARGE or len(lines) == 1:
                raise
            middle = len(lines) // 2
            self._send(lines[:middle])
            self._send(lines[middle:])

    def _post(self, client: InfluxDBClient, body: bytes) -> None:
        # The synchronous way: the batching one answers before anything is written, and loses what it could not write.
        writing = client.write_api(write_options=SYNCHRONOUS)
        writing.write(bucket=self._target.bucket, org=self._target.org, record=body)

    def _client(self) -> InfluxDBClient:
        """The client for here; one that came through a fork is the parent's."""
        home = socket_home()
        client = self._clients.get(home)
        return self._clients.setdefault(home, self._new_client()) if client is None else client

    def _new_client(self) -> InfluxDBClient:
        return InfluxDBClient(
            url=self._target.address,
            token=self._token or None,  # type: ignore[arg-type]
            org=self._target.org,
            timeout=round(self._target.timeout_seconds * 1000),
            connection_pool_maxsize=4,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the client raises, as errors of Chest. Its own errors are left out: they hold the headers."""
        try:
            yield
        except ApiException as error:
            raise self._explain(error) from None
        except (HTTPError, OSError) as error:
            # One is the other's child in urllib3, for a reason of its history.
            if isinstance(error, ConnectTimeoutError | ReadTimeoutError) and not isinstance(error, NewConnectionError):
                why = f"did not answer within {self._target.timeout_seconds:g} s ({type(error).__name__})"
            else:
                why = f"cannot be reached: {self._without_token(str(error))}"
            raise ChestUnavailable(f"{self.name} {why}.") from None

    def _explain(self, error: ApiException) -> ChestError:
        said = self._without_token(str(error.message or error.body or error.reason or ""))
        if not error.status:  # the client's own, such as a certificate that it does not trust
            return ChestUnavailable(f"{self.name} cannot be reached: {shortened(str(error.reason))}.")
        conflict = _CONFLICT.search(said)
        if conflict is not None:
            return _TypeConflict(*conflict.groups())
        return error_of(self.name, error.status, said, getattr(error, "retry_after", None))

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text


class _TypeConflict(ChestError):
    """The server has a field under another type."""

    def __init__(self, field: str, measurement: str, type_: str, known_type: str) -> None:
        super().__init__(f"{field!r} of {measurement!r} is {type_}, and was {known_type} before")
        self.field, self.measurement, self.known_type = field, measurement, known_type
