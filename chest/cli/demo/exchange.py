"""``Exchange``: one request as its client saw it, and how a client makes one."""

from __future__ import annotations

import http.client
import json
import uuid
from typing import Any, Final, NamedTuple

REQUEST_ID_HEADER: Final = "X-Request-ID"
WORKER_HEADER: Final = "X-Worker-Pid"
"""In which the shop tells the process that streams an export, so that the demonstration can kill that one."""
_TIMEOUT_SECONDS: Final = 5.0
"""For each wait on the socket: the loopback interface answers at once or not at all."""

CONNECTION_LOST: Final = "connection lost"
STREAM_CUT: Final = "stream cut"
CLIENT_LEFT: Final = "client left mid-stream"


class Exchange(NamedTuple):
    """One request and what came of it."""

    method: str
    path: str
    request_id: str | None
    """The id under which the store must hold it: sent by the client, else told by the server; None if neither was."""
    status: int | None = None
    """None if no status line arrived."""
    failure: str | None = None
    """Why the request counts as unanswered; None when the whole response arrived."""

    @property
    def is_answered(self) -> bool:
        """True if the client has the whole response."""
        return self.failure is None


class Client:
    """A user of the shop: a new connection for each request, over the standard library's client.

    :param address: host and TCP port.
    :param user: the user id that the client sends.
    """

    def __init__(self, address: tuple[str, int], user: str) -> None:
        self._address = address
        self._user = user

    def send(self, method: str, path: str, body: Any = None, *, names_request: bool = True) -> Exchange:
        """Make one request and read the whole response.

        :param body: sent as JSON; None sends no body.
        :param names_request: send an id of our own; otherwise the server makes one, and tells it.
        """
        with OpenRequest(self._address, self._user, method, path, body, names_request=names_request) as request:
            return request.read_all()

    def leave(self, path: str) -> Exchange:
        """Begin to read a response, and hang up in the middle."""
        with self.open(path) as request:
            request.read_lines(1)
            return request.exchange(CLIENT_LEFT)

    def open(self, path: str) -> OpenRequest:
        """Make a GET request, for the caller to read as much of the response as it likes."""
        return OpenRequest(self._address, self._user, "GET", path)


class OpenRequest:
    """A request on its way; a context manager that hangs up."""

    def __init__(
        self,
        address: tuple[str, int],
        user: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        names_request: bool = True,
    ) -> None:
        self._method, self._path = method, path
        self._request_id = str(uuid.uuid4()) if names_request else None
        self._payload = None if body is None else json.dumps(body).encode()
        self._headers = {"X-User": user, "Connection": "close", "Content-Type": "application/json"}
        if self._request_id:
            self._headers[REQUEST_ID_HEADER] = self._request_id
        self._connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_SECONDS)
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> OpenRequest:
        try:
            self._connection.request(self._method, self._path, self._payload, self._headers)
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            self._connection.close()
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def header(self, name: str) -> str | None:
        """A header of the response; None without such a header, or without a response."""
        return None if self._response is None else self._response.getheader(name)

    def read_lines(self, count: int) -> bool:
        """Read some lines of the body; tells whether they were there."""
        try:
            return self._response is not None and all(self._response.readline() for _ in range(count))
        except (OSError, http.client.HTTPException):
            return False

    def read_all(self) -> Exchange:
        """Read the rest of the response."""
        if self._response is None:
            return self.exchange(CONNECTION_LOST)
        try:
            self._response.read()
        except (OSError, http.client.HTTPException):
            return self.exchange(STREAM_CUT if self._response.chunked else CONNECTION_LOST)
        return self.exchange()

    def exchange(self, failure: str | None = None) -> Exchange:
        """What came of the request, so far."""
        status = None if self._response is None else self._response.status
        request_id = self._request_id or self.header(REQUEST_ID_HEADER)
        return Exchange(self._method, self._path, request_id, status, failure)
