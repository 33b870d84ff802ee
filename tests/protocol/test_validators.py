"""``wsgiref.validate`` and Werkzeug's ``LintMiddleware`` have nothing to say, whether around the middleware or inside it."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.lint import LintMiddleware

from tests.protocol import apps
from tests.protocol.exchange import Recorded, environ_of

VALIDATORS: dict[str, Callable[[Any], Any]] = {"wsgiref.validate": validator, "LintMiddleware": LintMiddleware}

PATHS = [
    "/complete",
    "/complete-in-pieces",
    "/empty",
    "/streamed",
    "/streamed-with-length",
    "/sized",
    "/lazy",
    "/written",
    "/written-and-streamed",
    "/no-content",
    "/not-modified",
    "/file",
    "/replaced",
    "/raises",
    "/raises-in-the-middle",
    "/echo",
]


class Handler(SimpleHandler):
    """wsgiref's server without a socket; what an application raises is kept instead of printed."""

    wsgi_file_wrapper = FileWrapper

    def __init__(self, environ: dict[str, Any]) -> None:
        self.out = io.BytesIO()
        self.err = io.StringIO()
        super().__init__(io.BytesIO(), self.out, self.err, environ, multithread=False, multiprocess=False)  # type: ignore[arg-type]
        self.error: BaseException | None = None

    def log_exception(self, exc_info: Any) -> None:
        self.error = exc_info[1]

    def setup_environ(self) -> None:
        super().setup_environ()
        for name in set(self.environ) & set(os.environ):
            del self.environ[name]
        self.environ |= self.base_env


@pytest.fixture(autouse=True)
def _in_its_own_directory(tmp_path: Path) -> Iterator[None]:
    with contextlib.chdir(tmp_path):
        yield


def _served(app: Any, path: str, method: str) -> tuple[bytes, str, list[str]]:
    """The answer, the error, and whatever a validator complained of."""
    environ = environ_of(path, method, CONTENT_LENGTH="0")
    environ = {name: value for name, value in environ.items() if not name.startswith("wsgi.")}
    handler = Handler(environ)
    complaints = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(complaints):
        warnings.simplefilter("always")
        handler.run(app)
        gc.collect(0)  # an iterator that was not closed warns when it is collected
    # Once each: of two validators both may complain of what the application itself does.
    said = sorted({str(warning.message) for warning in caught} | set(complaints.getvalue().splitlines()))
    head, _, body = handler.out.getvalue().partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.startswith((b"X-Request-ID", b"Date"))]
    return b"\r\n".join([*kept, body]), repr(handler.error), said


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", VALIDATORS)
def test_a_validator_around_and_inside_the_middleware_says_nothing_that_it_does_not_say_without(
    name: str, path: str, method: str
) -> None:
    wrap = VALIDATORS[name]
    bare = _served(wrap(apps.routes), path, method)
    recorded = Recorded(wrap(apps.routes))
    for app in (wrap(Recorded(apps.routes)), recorded, wrap(recorded), Recorded(wrap(Recorded(apps.routes)))):
        assert _served(app, path, method) == bare
    assert len(recorded.records) == 2


@pytest.mark.parametrize("name", VALIDATORS)
@pytest.mark.parametrize("path", ["/complete", "/streamed", "/lazy", "/written", "/file"])
def test_a_validator_is_silent(name: str, path: str) -> None:
    wrap = VALIDATORS[name]
    answer, error, said = _served(wrap(Recorded(wrap(apps.routes))), path, "GET")
    assert (error, said) == ("None", [])
    assert answer.startswith(b"HTTP/1.0 20")


def test_the_validators_of_these_tests_can_be_heard() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[str]:
        start_response("200", [("Content-Type", "text/plain")])
        return iter(["text"])

    for wrap in VALIDATORS.values():
        _, error, said = _served(wrap(app), "/", "GET")
        assert error != "None" or said
