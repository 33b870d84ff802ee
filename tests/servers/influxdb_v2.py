"""``InfluxV2``: the write interface of InfluxDB 2, in front of the engine of version 1, for which there is a package.

It answers as ``http/write_handler.go`` and ``http/points/points_parser.go`` of influxdata/influxdb do: log-in, organization
and bucket first; then a body that cannot be read whole stores nothing (400, found out in a scratch database); what the
engine then drops is a partial write (422). What was written is read back from the engine, in InfluxQL.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.recording_server import Received, RecordingServer, Reply, recording_server
from tests.servers.process import HOST, Server

_PRECISIONS: Final = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}


class InfluxV2:
    """The interface of one bucket, made anew each time; it is stopped and started like a server.

    :param engine: influxd 1.
    :param token: what the header ``Authorization`` has to hold.
    """

    def __init__(self, engine: Server, token: str = "t0k-en==") -> None:
        self._engine = httpx.Client(base_url=f"http://{HOST}:{engine.port}", timeout=30, trust_env=False)
        self.org, self.bucket, self.token = "my-org", f"bucket-{uuid4().hex[:12]}", token
        self._scratch = f"{self.bucket}-scratch"
        self.most_bytes = 50_000_000
        self.faults: list[Reply] = []
        """Answered first, one after the other, in the place of doing anything."""
        self.received: list[Received] = []
        self.port = 0
        self._running: Any = None
        for database in (self.bucket, self._scratch):
            self._query(f'CREATE DATABASE "{database}"', self.bucket)
        self.start()

    def start(self) -> None:
        """Answer again, on the same port."""
        if self._running is None:
            self._running = recording_server(reply=self._answer, port=self.port)
            server: RecordingServer = self._running.__enter__()
            self.port = server.port

    def stop(self) -> None:
        """Take no connection, and end those that are there."""
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)

    def close(self) -> None:
        """Stop, and forget what was written."""
        self.stop()
        for database in (self.bucket, self._scratch):
            self._query(f'DROP DATABASE "{database}"', self.bucket)
        self._engine.close()

    def url(self, options: str = "", token: str | None = None) -> str:
        """The chest's URL."""
        query = f"?token={token or self.token}" + (f"&{options}" if options else "")
        return f"influxdb://{HOST}:{self.port}/{self.org}/{self.bucket}{query}"

    def points(self, measurement: str | None = None) -> list[dict[str, Any]]:
        """Every point, with its measurement as ``measurement`` and its time in nanoseconds; what is null is left out."""
        names = self._names() if measurement is None else [measurement]
        return [point for name in names for point in self._points_of(name)]  # one by one: types differ between them

    def _names(self) -> list[str]:
        (result,) = self._query("SHOW MEASUREMENTS", self.bucket)["results"]
        return [row[0] for found in result.get("series", ()) for row in found["values"]]

    def _points_of(self, measurement: str) -> list[dict[str, Any]]:
        (result,) = self._query(f"SELECT * FROM {json.dumps(measurement, ensure_ascii=False)}", self.bucket)["results"]
        return [
            {"measurement": measurement}
            | {name: value for name, value in zip(series["columns"], row, strict=True) if value is not None}
            for series in result.get("series", ())
            for row in series["values"]
        ]

    def series(self) -> list[str]:
        """Every series, as InfluxDB keeps it in its index."""
        (result,) = self._query("SHOW SERIES", self.bucket)["results"]
        return [row[0] for found in result.get("series", ()) for row in found["values"]]

    def _query(self, query: str, database: str) -> Any:
        answer = self._engine.post("/query", params={"q": query, "db": database, "epoch": "ns"})
        answer.raise_for_status()
        return answer.json()

    def _answer(self, request: Received) -> Reply:
        self.received.append(request)
        if self.faults:
            return self.faults.pop(0)
        if (request.method, request.path) != ("POST", "/api/v2/write"):
            return _said(404, "not found", "path not found")
        return self._refusal(request, dict(request.params)) or self._write(request, dict(request.params))

    def _refusal(self, request: Received, params: Mapping[str, str]) -> Reply | None:
        if request.headers.get("authorization") != f"Token {self.token}":
            return _said(401, "unauthorized", "unauthorized access")
        if params.get("org") != self.org:
            return _said(404, "not found", f'organization name "{params.get("org")}" not found')
        if params.get("bucket") != self.bucket:
            return _said(404, "not found", f'bucket "{params.get("bucket")}" not found')
        if params.get("precision", "ns") not in _PRECISIONS:
            return _said(400, "invalid", "invalid precision")
        return None

    def _write(self, request: Received, params: Mapping[str, str]) -> Reply:
        try:
            body = gzip.decompress(request.body) if "content-encoding" in request.headers else request.body
        except (OSError, EOFError, zlib.error):
            return _said(400, "invalid", "gzip: invalid header")
        if len(body) > self.most_bytes:
            return _said(413, "request too large", "unable to read data: points batch is too large")
        if not body:
            return _said(400, "invalid", "writing requires points")
        precision = _PRECISIONS[params.get("precision", "ns")]
        unread = self._engine_says(body, self._scratch, precision)
        if "unable to parse" in unread:
            return _said(400, "invalid", unread.removeprefix("partial write: "))
        dropped = self._engine_says(body, self.bucket, precision)
        if dropped:
            return _said(422, "unprocessable entity", f"failure writing points to database: {dropped}")
        return Reply(status=204)

    def _engine_says(self, body: bytes, database: str, precision: str) -> str:
        answer = self._engine.post("/write", params={"db": database, "precision": precision}, content=body)
        if answer.status_code == 204:
            return ""
        error: str = answer.json()["error"]
        return error


def _said(status: int, code: str, message: str) -> Reply:
    return Reply(status=status, body=json.dumps({"code": code, "message": message}).encode())


@contextmanager
def influx_v2(engine: Server) -> Iterator[InfluxV2]:
    """The interface for the block, with a bucket of its own."""
    server = InfluxV2(engine)
    try:
        yield server
    finally:
        server.close()
