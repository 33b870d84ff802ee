"""``ChestPage``: a WSGI application that shows what is in a chest; ``PageMount`` puts it before another."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from string import punctuation
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from chest.chests.contract import ReadableChest
from chest.dashboard import novelty, questions, records, timeline
from chest.dashboard.chest_pool import ChestPool
from chest.dashboard.health import health, store_state
from chest.dashboard.parameters import Parameters
from chest.dashboard.reply import Reply
from chest.dashboard.static_files import FILES, page, static_file
from chest.errors import ChestError, FilterError, RecordNotFound, SettingsError
from chest.record.messages import printable
from chest.recorder.recorder import Recorder
from chest.request.context import ENVIRON_KEY, RequestContext
from chest.request.wsgi import (
    StartResponse,
    WSGIAnswer,
    WSGIApplication,
    WSGIEnvironment,
    json_answer,
    status_line,
    text_answer,
)

__all__ = ["EVERYBODY", "Allow", "ChestPage", "PageMount"]

EVERYBODY: Final = "everybody"
Allow: TypeAlias = Callable[[WSGIEnvironment], object] | Literal["everybody"]
"""Who may see the page: called with the ``environ`` of each request, true if this one may; or the word ``"everybody"``."""
_Question: TypeAlias = Callable[[ReadableChest, Parameters, float], Reply]

_logger: Final = logging.getLogger("chest.dashboard")
_SECURITY: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_VIEWS: Final = ("", "new", "health")
"""Paths of the page beside ``record/ID``."""
_QUESTIONS: Final[Mapping[str, _Question]] = {
    "over-time": timeline.over_time,
    "heatmap": timeline.heatmap,
    "top": questions.top,
    "values": questions.values,
    "compare": questions.compare,
    "names": questions.names,
    "new": novelty.new,
    "records": records.records,
}


class ChestPage:
    """The page as a WSGI application, and its endpoints; see ``docs/page.md``. It only reads.

    ``chest ui`` serves it on the loopback interface. ``ChestMiddleware(app, ui=ChestPage(allow=...))`` mounts it into an
    application. It shows every record with its variables: anyone who may see it sees what users did.

    Example::

        page = ChestPage("sqlite:///chest.sqlite3", allow=lambda environ: environ.get("REMOTE_USER") == "ada")

    :param chest: a chest that can be read, or the URL of one. None: the first of the recorder that it is mounted with.
    :param allow: who may see it: called with the ``environ`` of each request; or ``"everybody"``. Others get 404.
    :param seconds: the budget of a question; an answer that it cuts short says so.
    :param patience_seconds: how long a request waits beyond the budget, for a store that does not look at it, or that connects.
    :param questions_at_once: how many questions a process asks at a time; others are answered by 503 at once.
    :param directories: of rings and spools, for ``/health``. None: that of the recorder that it is mounted with, else those that
        ``chest status`` looks at.
    :raises SettingsError: an argument is missing or invalid.
    """

    def __init__(
        self,
        chest: ReadableChest | str | None = None,
        *,
        allow: Allow | None = None,
        seconds: float = 1.0,
        patience_seconds: float = 3.5,
        questions_at_once: int = 4,
        directories: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        if allow is None or not (callable(allow) or allow == EVERYBODY):
            raise SettingsError(
                "ChestPage shows what users did, so it needs allow=: a function that takes the environ of a request and says"
                f" whether it may see the page, or {EVERYBODY!r} if everybody who can reach it may"
            )
        if not seconds > 0 or patience_seconds < 0 or questions_at_once < 1:
            raise SettingsError(
                "ChestPage: seconds is above 0, patience_seconds not below, questions_at_once at least 1"
            )
        self._chest, self._allow, self._seconds, self._questions_at_once = chest, allow, seconds, questions_at_once
        self._wait_seconds = seconds + patience_seconds
        self._directories = tuple(map(Path, directories))
        self._recorder: Recorder | None = None
        self._has_complained = False
        self._pool = self._new_pool()

    def of(self, recorder: Recorder) -> ChestPage:
        """This page for an application that is recorded: of the recorder's chest, unless it was given one.

        :raises SettingsError: no chest of the recorder can be read.
        """
        page = copy(self)
        page._recorder, page._pool = recorder, page._new_pool()
        if self._chest is None:
            recorder.require_readable_chest()
        return page

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._answer(environ)
        except Exception:
            _logger.exception("chest: a question of the page failed")
            answer = _problem(500, "The question failed; the log of the server says why.")
        headers = [("Content-Type", answer.content_type), *answer.headers.items(), *_SECURITY]
        if answer.status != 304:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(status_line(answer.status), headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    def close(self) -> None:
        """Close the connections to the store."""
        self._pool.close()

    def _new_pool(self) -> ChestPool:
        return ChestPool(self._source, self._questions_at_once, self._wait_seconds)

    def _source(self) -> ReadableChest | str:
        if self._chest is not None:
            return self._chest
        if self._recorder is not None:
            return self._recorder.readable_chest()
        raise SettingsError("ChestPage has no chest: give it a URL, or mount it by ChestMiddleware(ui=...)")

    def _health(self) -> Reply:
        chests = [] if self._recorder is None else [chest.name for chest in self._recorder.chests]
        return health(
            self._recorder,
            self._directories,
            lambda: self._pool.ask(lambda chest: store_state(chest, self._seconds)),
            chests,
        )

    def _answer(self, environ: WSGIEnvironment) -> WSGIAnswer:
        if not self._ask_allow(environ):
            return text_answer(404, "Not Found")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return text_answer(405, "GET or HEAD", {"Allow": "GET, HEAD"})
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        if not path and environ.get("SCRIPT_NAME"):
            return text_answer(308, "", {"Location": _with_slash(environ)})
        room, _, rest = path.removeprefix("/").partition("/")
        if room == "api":
            return self._of_question(rest, environ)
        if room == "static" or (room in FILES and not rest):
            return static_file(rest or room, environ)
        if room == "record" and rest:
            return page(environ, depth=1)
        return page(environ, depth=0) if room in _VIEWS and not rest else text_answer(404, "Not Found")

    def _ask_allow(self, environ: WSGIEnvironment) -> bool:
        if isinstance(self._allow, str):
            return True
        try:
            return bool(self._allow(environ))
        except Exception:
            if not self._has_complained:
                self._has_complained = True
                _logger.exception("chest: allow= of ChestPage failed, so the page was not shown; said once")
            return False

    def _of_question(self, path: str, environ: WSGIEnvironment) -> WSGIAnswer:
        """An endpoint's answer; one that cannot be given is a sentence."""
        as_csv = path.endswith(".csv")
        name = path.removesuffix(".csv")
        try:
            parameters = Parameters.of(environ.get("QUERY_STRING", ""))
            endpoint, _, wanted = name.partition("/")
            if name == "health":
                reply = self._health()
            elif endpoint == "record" and wanted:
                reply = self._pool.ask(lambda chest: records.record(chest, wanted, self._seconds))
            elif name in _QUESTIONS:
                question = _QUESTIONS[name]
                reply = self._pool.ask(lambda chest: question(chest, parameters, self._seconds))
            else:
                return _problem(404, f"There is no endpoint {printable(name)}.")
            return reply.csv() if as_csv and reply.rows is not None else reply.json()
        except RecordNotFound as error:
            return _problem(404, printable(str(error)))
        except FilterError as error:
            return _problem(400, error.reason, position=error.position, suggestion=error.suggestion, parameter=None)
        except SettingsError as error:
            parameter = getattr(error, "parameter", None)
            return _problem(400, str(error), position=None, suggestion=None, parameter=parameter)
        except ChestError as error:
            retry_after = getattr(error, "retry_after", None)
            return _problem(503, printable(str(error)), retry_after=retry_after)


def _with_slash(environ: WSGIEnvironment) -> str:
    """The URL of this request, with a slash behind its path; relative, as a proxy in front may have taken a prefix away."""
    name = environ["SCRIPT_NAME"].rpartition("/")[2].encode("latin-1", "replace")
    query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
    return f"{quote(name)}/{'?' if query else ''}{quote(query, safe=punctuation)}"


def _problem(status: int, error: str, *, retry_after: float | None = None, **more: object) -> WSGIAnswer:
    headers = {"Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    return json_answer(status, {"error": error, **more}, headers)


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
