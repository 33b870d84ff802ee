"""ClickHouse's engine (chdb) behind the part of its HTTP interface that a chest uses; run as ``python -m ... ADDRESS PORT PATH``.

The engine is ClickHouse itself: statements, formats, tokens and error texts are its own. What is made up here stands in this
file: the log-in, the rights of a user, and ``readonly``, which belong to the server around the engine.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import parse_qsl, urlsplit

from tests.servers.clickhouse import PASSWORDS

_CODE = re.compile(r"Code: (\d+)\.")
_STATUS = {516: 403, 497: 403, 164: 500, 60: 404, 81: 404}
"""As ClickHouse's HTTP interface answers; any other error of a statement is 400 or 500."""
_WRITES = re.compile(r"\s*(INSERT|CREATE|ALTER|DELETE|DROP|TRUNCATE)", re.IGNORECASE)


def _engine(path: str) -> Any:
    # It imports pyarrow for data frames, which nothing here uses.
    sys.modules.setdefault("pyarrow", MagicMock(spec=ModuleType))
    sys.modules["pyarrow"] = MagicMock()
    from chdb import session

    return session.Session(path)


def main(listen: str, port: int, path: str) -> None:
    engine, lock = _engine(path), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one packet: else the client's system waits 40 ms before it confirms the first
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(200, b"Ok.\n")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            params = dict(parse_qsl(urlsplit(self.path).query))
            statement = params["query"].encode() + b"\n" + body if "query" in params else body
            try:
                said = self._run(statement.decode(), params)
            except Exception as error:
                match = _CODE.search(str(error))
                self._answer(_STATUS.get(int(match[1]), 400) if match else 500, str(error).encode())
            else:
                self._answer(200, said)

        def _run(self, statement: str, params: dict[str, str]) -> bytes:
            kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
            user, _, password = base64.b64decode(encoded).decode().partition(":")
            if kind != "Basic" or PASSWORDS.get(user) != password:
                raise RuntimeError(
                    f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user"
                    " with such name. (AUTHENTICATION_FAILED)"
                )
            if params.get("readonly") == "2" and _WRITES.match(statement):
                raise RuntimeError("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            if user == "reader" and _WRITES.match(statement):
                raise RuntimeError(f"Code: 497. DB::Exception: {user}: Not enough privileges. (ACCESS_DENIED)")
            with lock:
                found = engine.query(statement, "TabSeparated")
                said = bytes(found.bytes()) if found else b""
            return b"0\n" if user == "reader" and statement.startswith("CHECK GRANT") else said

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    class HttpServer(ThreadingHTTPServer):
        daemon_threads = True

    # At once: what was answered is in files already, and the engine takes ten seconds to end in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    HttpServer((listen, port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
