"""A server on the loopback interface that takes whatever rivals send, and counts the bytes by path."""

from __future__ import annotations

import json
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_EVENTS_OF_A_BATCH = 200

received: Counter[str] = Counter()


class Sink(BaseHTTPRequestHandler):
    """Answers 200 with what each rival's client wants to read; ``GET`` tells what came."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        body = self._chunks() if length is None else self.rfile.read(int(length))
        received[self.path] += len(body)
        if self.path.startswith("/1/batch"):  # Honeycomb: one status an event
            self._answer([{"status": 202}] * _EVENTS_OF_A_BATCH)
        else:
            self._answer({})

    def do_GET(self) -> None:
        self._answer(received)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    """Serve on a free port, whose number is the first line printed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
