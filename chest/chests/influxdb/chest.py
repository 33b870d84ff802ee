"""``InfluxChest``: records as points of an InfluxDB 2 bucket, or of any store that takes its writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3 import make_headers, proxy_from_url
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError

from chest.chests.contract import Chest
from chest.chests.http_status import error_of, unreachable
from chest.chests.influxdb.bucket import Bucket
from chest.chests.influxdb.points import SHAPES
from chest.chests.influxdb.url import InfluxTarget
from chest.chests.proxy import unusable_proxy
from chest.errors import ChestError, ChestUnavailable, RecordRejected, SettingsError
from chest.record.messages import masked
from chest.record.record import Record
from chest.system.threads import socket_home

__all__ = ["InfluxChest"]

_MOST_CONFLICTS: Final = 32
"""The server names one field of a wrong type at a time; each one costs another try."""
_TOO_LARGE: Final = 413
_REFUSED: Final = 422
_CONNECT_SECONDS: Final = 5.0
"""Of a host that drops packets nothing more is heard: waiting longer only keeps the other chests waiting."""
_NO_TAGS: Final = ("time", "_field", "_measurement")
_NO_LINE: Final = "unable to parse"
_NO_POINTS: Final = b"#"
"""A comment: the server looks at log-in, organization and bucket first, and finds nothing to write."""
_PARTIAL: Final = re.compile(r"partial write: (.*?)\bdropped=(\d+)", re.DOTALL)
"""Some points were refused and the others stored. InfluxDB 2.0 says so with status 500, later ones with 422, 1.x with 400."""
_TOO_OLD: Final = re.compile(r"retention policy(?!.*(?:future|upper))", re.IGNORECASE | re.DOTALL)
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
    ``type_conflicts``. Of each tag, and of variables' names, ``most_values`` are kept apart in a process; all others become
    ``_overflow`` (variables: one field of JSON text), and are counted in ``overflows``. A line end in a text is written as
    ``\\n``, the two characters: in VictoriaMetrics it would begin another point.

    The last four digits of a timestamp are a hash of the record's id: the same whenever it is written, so that it is
    stored once. Of two requests of one series within 10 microseconds one in ten thousand pairs becomes one point.

    :param url: ``influxdb://host:8086/org/bucket``, or ``influxdb+https://``; after a ``?``: ``token=`` (better in the
        environment: ``INFLUXDB_TOKEN``), ``shape=request``, ``integers=a,b`` for variables to write as integers,
        ``most_values=1000``, ``gzip=1`` for compressed bodies, and ``timeout_seconds=10``.
    :param token: in the place of the URL's.
    :param custom_tags: more tags for every point. Each value of a tag makes series of its own: few of them, please.
    :raises SettingsError: invalid chest URL or name of a tag.
    """

    def __init__(self, url: str, *, token: str | None = None, custom_tags: Mapping[str, str] | None = None) -> None:
        target = InfluxTarget.of(url)
        self.name = target.name
        self._target = target
        self._token = target.token if token is None else token
        self._points = SHAPES[target.shape]
        self._bucket = Bucket(_tags(custom_tags or {}), target.integers, target.most_values)
        self._clients: dict[tuple[int, int], InfluxDBClient] = {}
        self._answered: InfluxDBClient | None = None
        """The client that had an answer last: it keeps a connection, which the server may close at any moment."""

    @property
    def type_conflicts(self) -> int:
        """How many values of this process went to a second field name, because their type was not the field's."""
        return self._bucket.type_conflicts

    @property
    def overflows(self) -> dict[str, int]:
        """By tag (``variable`` for variables' names), how many values of this process became ``_overflow``."""
        return dict(self._bucket.overflows)

    def counts(self) -> Mapping[str, int]:
        return {"type_conflicts": self.type_conflicts, "overflows": sum(self.overflows.values())}

    def open(self) -> None:
        """Connects to nothing: that is done when there is something to write."""
        self._client()

    def write(self, records: Sequence[Record]) -> None:
        """As the contract says; and a batch that is too large for the server is sent in halves."""
        bucket = self._bucket
        counted = bucket.type_conflicts, bucket.overflows.copy()
        for _ in range(_MOST_CONFLICTS):
            lines = self._lines(records)
            try:
                self._send(lines)
                return
            except _TypeConflict as conflict:
                bucket.type_conflicts, bucket.overflows = counted[0], counted[1].copy()
                if not bucket.learn(conflict.measurement, conflict.field, conflict.known_type):
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

    def wait_at_most(self, seconds: float) -> bool:
        self.close()
        longest = seconds / 2  # to connect, and for the answer
        self._target = self._target._replace(timeout_seconds=min(self._target.timeout_seconds, longest))
        return True

    def close(self) -> None:
        client = self._clients.pop(socket_home(), None)
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def _lines(self, records: Sequence[Record]) -> list[_Line]:
        lines: list[_Line] = []
        refused: dict[str, Exception] = {}
        for record in records:
            try:
                points = self._points(record, self._bucket)
                lines += [_Line(record.id, point.line().encode()) for point in points]
            # Text that is not Unicode, or a number that does not fit; a recorder never hands on such.
            except (OverflowError, TypeError, ValueError) as error:
                refused[record.id] = error
        if refused:
            why = type(next(iter(refused.values()))).__name__
            raise RecordRejected(f"{self.name}: no point can be made of a record ({why}).", list(refused))
        return lines

    def _send(self, lines: Sequence[_Line]) -> None:
        if not lines:
            return
        try:
            with self._explained(lines):
                self._post_anew(b"\n".join(line.text for line in lines))
        except _TooLarge as error:
            if len(lines) == 1:
                raise RecordRejected(str(error), [lines[0].record_id]) from None
            middle = len(lines) // 2
            self._send(lines[:middle])
            self._send(lines[middle:])

    def _post_anew(self, body: bytes) -> None:
        """Post the points; a second time, on a new connection, if a kept one broke. What came twice is stored once."""
        client = self._client()
        try:
            self._post(client, body)
        except ProtocolError:
            self.close()
            if client is not self._answered:
                raise
            client = self._client()
            self._post(client, body)
        self._answered = client

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
        seconds = self._target.timeout_seconds
        proxy = self._target.proxy()
        login = None if proxy is None or proxy.login is None else ":".join(proxy.login)
        if proxy is not None:
            try:
                proxy_from_url(proxy.url)  # an invalid one would leave a client half made
            except (HTTPError, ValueError) as error:
                raise unusable_proxy(self.name, proxy, error) from None
        return InfluxDBClient(
            url=self._target.address,
            token=self._token or None,  # type: ignore[arg-type]
            org=self._target.org,
            timeout=(min(_CONNECT_SECONDS, seconds) * 1000, seconds * 1000),
            enable_gzip=self._target.is_gzipped,
            connection_pool_maxsize=4,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=None if login is None else make_headers(proxy_basic_auth=login),
        )

    @contextmanager
    def _explained(self, lines: Sequence[_Line] = ()) -> Iterator[None]:
        """What the client raises, as errors of Chest. Its own errors are left out: they hold the headers."""
        try:
            yield
        except ApiException as error:
            raise self._explain(error, lines) from None
        except (HTTPError, OSError) as error:
            # One is the other's child in urllib3, for a reason of its history.
            if isinstance(error, ConnectTimeoutError | ReadTimeoutError) and not isinstance(error, NewConnectionError):
                why = f"did not answer within {self._target.timeout_seconds:g} s ({type(error).__name__})"
                raise ChestUnavailable(f"{self.name} {why}.") from None
            raise unreachable(self.name, error, self._without_token(str(error))) from None
        except UnicodeDecodeError:
            raise ChestUnavailable(
                f"{self.name} sent an answer that is not text: check the address in the URL."
            ) from None

    def _explain(self, error: ApiException, lines: Sequence[_Line]) -> ChestError:
        said = self._without_token(str(error.message or error.body or error.reason or ""))
        if not error.status:  # the client's own, such as a certificate that it does not trust
            return unreachable(self.name, error, self._without_token(str(error.reason)))
        conflict = _CONFLICT.search(said)
        if conflict is not None:
            return _TypeConflict(*conflict.groups())
        partial = _PARTIAL.search(said)
        explained = error_of(self.name, _REFUSED if partial else error.status, said, error.headers)
        if error.status == _TOO_LARGE:
            return _TooLarge(str(explained))
        if isinstance(explained, RecordRejected):
            too_old = int(partial[2]) if partial and _TOO_OLD.search(partial[1]) else 0
            return RecordRejected(str(explained), _oldest(lines, too_old) or _named_in(said, lines))
        return explained

    def _without_token(self, text: str) -> str:
        return masked(text, [self._token] if self._token else [])


def _tags(custom_tags: Mapping[str, str]) -> dict[str, str]:
    for name in custom_tags:
        if name in _NO_TAGS:
            raise SettingsError(f"custom_tags: {name!r} is InfluxDB's own name; take another.")
    return {str(name): str(value) for name, value in custom_tags.items()}


def _named_in(said: str, lines: Sequence[_Line]) -> list[str]:
    """The records of the lines that the server repeats as ones that it cannot read."""
    if _NO_LINE not in said:
        return []
    return list(dict.fromkeys(line.record_id for line in lines if line.text.decode() in said))


def _oldest(lines: Sequence[_Line], count: int) -> list[str]:
    """The records of that many lines with the earliest times: those are what lies beyond a retention."""
    by_time = sorted(lines, key=lambda line: int(line.text.rpartition(b" ")[2]))
    return list(dict.fromkeys(line.record_id for line in by_time[:count]))


class _Line(NamedTuple):
    """A line of the protocol, and whose it is."""

    record_id: str
    text: bytes


class _TooLarge(ChestError):
    """The server takes no body of that size."""


class _TypeConflict(ChestError):
    """The server has a field under another type."""

    def __init__(self, field: str, measurement: str, type_: str, known_type: str) -> None:
        super().__init__(f"{field!r} of {measurement!r} is {type_}, and was {known_type} before")
        self.field, self.measurement, self.known_type = field, measurement, known_type
