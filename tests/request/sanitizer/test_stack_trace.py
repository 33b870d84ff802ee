"""The traceback of a record: where an exception was raised, in few lines and without a value."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequestKeyError

from chest import ChestMiddleware, MemoryChest, current
from chest.request.sanitizer.stack_trace import stack_of
from tests.request.middleware.client import Client

_FRAME: Final = re.compile(r'  File "([^"]+)", line \d+, in (\S+)')


def _fail(depth: int) -> None:
    if depth:
        _fail(depth - 1)
    raise LookupError("password of ada: hunter2")


def _raised(depth: int) -> LookupError:
    try:
        _fail(depth)
    except LookupError as error:
        return error
    raise AssertionError


def test_the_last_frames_are_kept_each_with_file_line_and_function() -> None:
    first, *frames, last = stack_of(_raised(2)).splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "LookupError")
    found = [_FRAME.fullmatch(frame) for frame in frames]
    assert [each and each[2] for each in found] == ["_raised", "_fail", "_fail", "_fail"]
    assert {each and each[1] for each in found} == {__file__}


def test_a_deep_recursion_leaves_ten_frames_and_no_message() -> None:
    stack = stack_of(_raised(500))
    assert len(stack.splitlines()) == 12
    assert "hunter2" not in stack


def test_an_installed_packages_file_is_named_from_its_package_on() -> None:
    with pytest.raises(BadRequestKeyError) as raised:
        MultiDict()["cart"]
    assert 'File "werkzeug/datastructures/structures.py"' in stack_of(raised.value)


def test_an_exception_that_was_never_raised_has_none() -> None:
    assert stack_of(ValueError("x")) == ""


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_record_has_the_traceback_of_an_exception_that_was_answered_and_of_one_that_was_not(
    is_answered: bool,
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            _fail(0)
        except LookupError as error:
            if not is_answered:
                raise
            current().record_error(error)
        start_response("404 Not Found", [])
        return [b"a"]

    for keeps in (True, False):
        client = Client(app, keeps_stacktraces=keeps)
        try:
            client.get()
        except LookupError:
            assert not is_answered
        frames = client.record.attributes.get("exception.stacktrace", "").splitlines()[1:-1]
        names = [frame.rpartition(" in ")[2].rpartition(".")[2] for frame in frames]
        assert names[-2:] == (["app", "_fail"] if keeps else [])
        assert not [frame for frame in frames if "chest/request" in frame and "tests" not in frame]


def test_the_options_leave_message_and_traceback_out_of_each_record() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ValueError("a secret")

    for options, expected in (
        ({}, {"exception.message", "exception.stacktrace"}),
        ({"exception_messages": False}, {"exception.stacktrace"}),
        ({"exception_stacktraces": False}, {"exception.message"}),
    ):
        store = MemoryChest()
        recorded = ChestMiddleware(app, chests=[store], **options)
        with pytest.raises(ValueError, match="a secret"):
            recorded({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
        assert recorded.recorder.close()
        [record] = store.records
        assert {name for name in record.attributes if name.startswith("exception.")} == expected
