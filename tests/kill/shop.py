"""An application with a recorder, for tests and for the processes that they start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chest import ChestMiddleware, Recorder


class Shop:
    """An application with a recorder, asked from this thread as a server asks it."""

    def __init__(self, directory: Path, *chests: Any, **options: Any) -> None:
        options = {"service": "shop", "directory": directory, "flush_seconds": 0.02, "ring_bytes": 1 << 20, **options}
        self.recorder = Recorder(chests, **options)
        self.app = ChestMiddleware(self._answer, recorder=self.recorder)
        self.asked: list[str] = []

    @staticmethod
    def _answer(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        environ["chest.context"]["user_id"] = "123"
        start_response("200 OK", [])
        return [b"done"]

    def ask(self, count: int = 1, pause: float = 0.0) -> list[int]:
        """Make requests; how many nanoseconds each took."""
        took = []
        for _ in range(count):
            request_id = f"r{len(self.asked)}"
            environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "HTTP_X_REQUEST_ID": request_id}
            begin = time.perf_counter_ns()
            self.app(environ, lambda *_: lambda data: None)  # type: ignore[arg-type,return-value]
            took.append(time.perf_counter_ns() - begin)
            self.asked.append(request_id)
            if pause:
                time.sleep(pause)
        return took

    def failures(self) -> int:
        """How often a write failed."""
        return sum(self.recorder.stats().get("failed_writes", {}).values())

    def spooled(self) -> int:
        """How many records were put on disk."""
        return sum(self.recorder.stats().get("spooled", {}).values())
