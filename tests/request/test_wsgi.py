"""An answer is a WSGI application that PEP 3333 allows."""

from __future__ import annotations

from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from chest.request.wsgi import WSGIAnswer, json_answer, text_answer


def asked(answer: WSGIAnswer, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    said: list[Any] = []
    body = validator(answer)(environ, lambda status, headers, exc_info=None: said.append((status, headers)))
    content = b"".join(body)
    body.close()
    return said[0][0], dict(said[0][1]), content


def test_an_answer_says_its_length_and_what_was_said_beside() -> None:
    status, headers, body = asked(json_answer(200, {"ok": None}, {"Cache-Control": "no-store"}))
    assert (status, body) == ("200 OK", b'{"ok": null}')
    assert headers == {"Content-Type": "application/json", "Content-Length": "12", "Cache-Control": "no-store"}


def test_head_gets_the_headers_and_no_body() -> None:
    status, headers, body = asked(text_answer(404, "nö"), "HEAD")
    assert (status, headers["Content-Length"], body) == ("404 Not Found", "3", b"")


def test_a_status_without_a_phrase_has_some_phrase() -> None:
    assert asked(text_answer(599, ""))[0] == "599 Status"


def test_a_value_that_is_not_json_is_written_as_its_text() -> None:
    assert asked(json_answer(200, {None: ValueError("it")}))[2] == b'{"null": "it"}'


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError):
        json_answer(200, float("nan"))
