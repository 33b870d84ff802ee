"""``LoopbackServer``: the page on this machine alone, for the person who started it."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from hmac import compare_digest
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from chest.errors import SettingsError
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment, text_answer

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
    holds a random token, which is good for one use and gives that browser a cookie: who reads the command line of the browser later reads
    nothing. Then there is a new URL, for another browser. And the ``Host`` header must be the printed one, else a name that is made to lead to
    127.0.0.1 (DNS rebinding) would do.

    :param app: the application.
    :param port: 0 takes a free one.
    :param tell: called with each new URL, from the thread of a request.
    :raises SettingsError: the port cannot be had.
    """

    def __init__(self, app: WSGIApplication, port: int = 0, tell: Callable[[str], object] = lambda url: None) -> None:
        try:
            self._server = _Server((_HOST, port), _Handler)
        except OSError as error:
            raise SettingsError(f"port {port} of {_HOST} cannot be had: {error.strerror or error}") from error
        port = self._server.server_address[1]
        self._guarded = _Guarded(app, f"{_HOST}:{port}", f"chest_{port}", tell)
        self._server.set_app(self._guarded)

    @property
    def url(self) -> str:
        """The URL for the next browser, with a token that is good for one use."""
        return self._guarded.url

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

    def __init__(self, app: WSGIApplication, host: str, cookie: str, tell: Callable[[str], object]) -> None:
        self._app, self._host, self._cookie, self._tell = app, host, cookie, tell
        self._secret, self._token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{self._host}/?{_TOKEN}={self._token}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") != self._host:
            answer = text_answer(421, f"Chest answers at http://{self._host}/ only, not by another name.")
            return answer(environ, start_response)
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        tokens = [value for name, value in query if name == _TOKEN]
        # A token is used up also by a browser that has the cookie.
        is_let_in = any(map(self._use, tokens)) or self._has_cookie(environ)
        if is_let_in and not tokens:
            return self._app(environ, start_response)
        if is_let_in:
            rest = urlencode([(name, value) for name, value in query if name != _TOKEN])
            path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
            cookie = f"{self._cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
            # Two slashes at the begin would name another host.
            location = f"/{path.lstrip('/')}{'?' if rest else ''}{rest}"
            answer = text_answer(
                303, "", {"Location": location, "Set-Cookie": cookie, "Referrer-Policy": "no-referrer"}
            )
        else:
            answer = text_answer(403, "Open the URL that chest ui printed last: each is good for one use.")
        return answer(environ, start_response)

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        cookies = (each.strip().partition("=") for each in environ.get("HTTP_COOKIE", "").split(";"))
        return any(name == self._cookie and _is_same(value, self._secret) for name, _, value in cookies)

    def _use(self, token: str) -> bool:
        """True for one of those who have the token."""
        with self._lock:
            if not _is_same(token, self._token):
                return False
            self._token = secrets.token_urlsafe(32)
        self._tell(self.url)
        return True


def _is_same(value: str, secret: str) -> bool:
    return compare_digest(value.encode("utf-8", "replace"), secret.encode())


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
        """Log the failure, unless the browser closed the connection or sent no request in time."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            _logger.exception("chest: a connection of the page failed")


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Requests of one person are not worth a line each."""
