"""``LoopbackServer``: the page on this machine alone, for the person who started it."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
from collections.abc import Iterable
from hmac import compare_digest
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from chest.errors import SettingsError
from chest.wsgi import StartResponse, WSGIApplication, WSGIEnvironment, text_answer

__all__ = ["LoopbackServer"]

_logger: Final = logging.getLogger("chest.dashboard")
_HOST: Final = "127.0.0.1"
_TOKEN: Final = "token"  # noqa: S105 - the name of a parameter
_MOST_THREADS: Final = 16
_IDLE_SECONDS: Final = 10
"""How long a connection may say nothing: browsers open some in advance, and each holds a thread."""


class LoopbackServer:
    """Serves an application on 127.0.0.1 to the browser that was given the token.

    Other users and programs of this machine can reach the port, and a web page that the browser shows can too. So the first URL
    holds a random token, which becomes a cookie; and the ``Host`` header must be the printed one, else a name that is made to lead to
    127.0.0.1 (DNS rebinding) would do.

    :param app: the application.
    :param port: 0 takes a free one.
    :raises SettingsError: the port cannot be had.
    """

    def __init__(self, app: WSGIApplication, port: int = 0) -> None:
        try:
            self._server = _Server((_HOST, port), _Handler)
        except OSError as error:
            raise SettingsError(f"port {port} of {_HOST} cannot be had: {error.strerror or error}") from error
        port = self._server.server_address[1]
        token = secrets.token_urlsafe(32)
        self._server.set_app(_Guarded(app, f"{_HOST}:{port}", f"chest_{port}", token))
        self.url = f"http://{_HOST}:{port}/?{_TOKEN}={token}"
        """The first URL, with the token."""

    def serve(self) -> None:
        """Serve until :meth:`stop`, or until the exception of a signal handler."""
        self._server.serve_forever()

    def stop(self) -> None:
        """End :meth:`serve`; for another thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Guarded:
    """The application, for the browser that has the cookie.

    :param host: what the Host header must say.
    :param cookie: the name of the cookie: another one for each port, as cookies know none.
    """

    def __init__(self, app: WSGIApplication, host: str, cookie: str, token: str) -> None:
        self._app, self._host, self._cookie, self._token = app, host, cookie, token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") != self._host:
            answer = text_answer(421, f"Chest answers at http://{self._host}/ only, not by another name.")
        elif self._has_cookie(environ):
            return self._app(environ, start_response)
        elif (rest := self._without_token(environ)) is not None:
            path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            # Two slashes at the begin would name another host.
            location = f"/{path.lstrip('/')}{'?' if rest else ''}{rest}"
            answer = text_answer(
                303, "", {"Location": location, "Set-Cookie": cookie, "Referrer-Policy": "no-referrer"}
            )
        else:
            answer = text_answer(
                403, "Open the URL that chest ui printed: it holds the token of this browser's session."
            )
        return answer(environ, start_response)

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        if self._without_token(environ) is not None:
            return False  # the URL is made free of it first
        cookies = (each.strip().partition("=") for each in environ.get("HTTP_COOKIE", "").split(";"))
        return any(name == self._cookie and self._is_token(value) for name, _, value in cookies)

    def _without_token(self, environ: WSGIEnvironment) -> str | None:
        """The query without the token; None if it does not hold the right one."""
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if not any(name == _TOKEN and self._is_token(value) for name, value in query):
            return None
        return urlencode([(name, value) for name, value in query if name != _TOKEN])

    def _is_token(self, value: str) -> bool:
        return compare_digest(value.encode("utf-8", "replace"), self._token.encode())


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(_MOST_THREADS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As :class:`~http.server.HTTPServer`, which also asks for the host's name: a look-up that may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log it, unless the browser has gone away or says nothing."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            _logger.exception("chest: a connection of the page failed")


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Requests of one person are not worth a line each."""
