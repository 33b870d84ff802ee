"""``PageMount``: the page at a path before an application."""

from __future__ import annotations

from collections.abc import Iterable

from chest.dashboard.page import ChestPage
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["PageMount"]


class PageMount:
    """Answers every path below one with the page, without a record, and passes other requests to the application.

    :param path: with a slash at the begin and at the end.
    """

    def __init__(self, app: WSGIApplication, page: ChestPage, path: str) -> None:
        self.app, self._page, self._path = app, page, path.rstrip("/")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        rest = path[len(self._path) :]
        if not path.startswith(self._path) or (rest and rest[0] != "/"):
            return self.app(environ, start_response)
        context = environ.get(ENVIRON_KEY)
        if isinstance(context, RequestContext):
            context.exclude()
        below = {**environ, "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + self._path, "PATH_INFO": rest}
        return self._page(below, start_response)
