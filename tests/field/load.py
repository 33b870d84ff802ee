"""``Clients``: ask a server all the time, whatever is done to it, and remember what was answered, by which process, how late."""

from __future__ import annotations

import http.client
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.servers import HOST
from tests.support import wait_until

_PATHS: Final = ("/", "/", "/large", "/stream")
_TIMEOUT_SECONDS: Final = 30.0
_REMEMBERED: Final = 12


class Answer(NamedTuple):
    """A request whose whole response came."""

    request_id: str
    path: str
    pid: int
    begin: float
    """On the monotonic clock."""
    seconds: float


class Clients:
    """Clients in threads of their own, for as long as the block lasts.

    :param port: of the server, on the loopback interface.
    :param keeps_connections: whether each asks over one connection as long as the server keeps it; else over a new one
        each time, for a server that closes them without saying so.
    :param count: how many ask at the same time.
    :param pause_seconds: between an answer and the next request of the same client.
    """

    def __init__(self, port: int, *, keeps_connections: bool, count: int, pause_seconds: float) -> None:
        self._port = port
        self._pause_seconds = pause_seconds
        self._keeps_connections = keeps_connections
        self.answers: list[Answer] = []
        self.errors: list[str] = []
        """Responses that say that the request failed. A connection that is refused or cut is the server's own end."""
        self.unanswered = 0
        self._failed: deque[str] = deque(maxlen=_REMEMBERED)
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more, and wait for the answers that are under way."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    @property
    def known(self) -> str:
        """How many were answered, and why the last ones were not, for a failure."""
        failed = "; ".join(self._failed)
        return f"{len(self.answers)} were answered, {self.unanswered} were not, the last of them: {failed or 'none'}"

    def wait_for(self, more: int, meanwhile: Callable[[], object], seconds: float) -> None:
        """Wait until so many more requests were answered.

        :param meanwhile: called again and again, such as to start a server that has ended.
        """
        enough = len(self.answers) + more

        def are_enough() -> bool:
            meanwhile()
            return len(self.answers) >= enough

        wait_until(are_enough, seconds)

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_TIMEOUT_SECONDS)
        while not self._is_over.is_set():
            is_answered = self._ask(connection)
            self.unanswered += not is_answered
            if not (is_answered and self._keeps_connections):
                connection.close()
            time.sleep(self._pause_seconds)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        request_id, path = str(uuid.uuid4()), random.choice(_PATHS)
        begin = time.monotonic()
        try:
            connection.request("GET", path, headers={"X-Request-ID": request_id})
            response = connection.getresponse()
            body = response.read()
        except Exception as error:  # the client goes on, or no more requests would come
            if not isinstance(error, (OSError, http.client.HTTPException)):
                self.errors.append(f"{path}: {error!r}")
            self._failed.append(f"{error!r} after {time.monotonic() - begin:.1f} s at {time.strftime('%H:%M:%S')}")
            return False
        if response.status != 200:
            self.errors.append(f"{path}: {response.status} {response.reason}: {body[:200]!r}")
            return False
        # A worker that ends during the headers leaves some out, and one that ends behind them may send an error page as the body.
        if str(len(body)) != response.headers["Content-Length"] or not body.isdigit():
            return False
        self.answers.append(Answer(request_id, path, int(body), begin, time.monotonic() - begin))
        return True
