"""Lines of logs say which request they are about."""

from __future__ import annotations

import logging

import pytest
import structlog

from chest import SettingsError, current
from chest.instruments import RequestLogFilter, request_processor
from tests.instruments.conftest import Inside


class Lines(logging.Handler):
    def __init__(self, *variables: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.addFilter(RequestLogFilter(*variables))
        self.setFormatter(logging.Formatter("%(request_id)s %(user_id)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_a_line_has_the_id_and_the_variables_of_its_request_and_none_outside(inside: Inside) -> None:
    handler, logger = Lines("user_id"), logging.Logger("app")
    logger.addHandler(handler)

    def view() -> None:
        current()["user_id"] = 42
        logger.info("in")
        logger.info("given", extra={"user_id": "theirs"})

    inside(view)
    logger.info("out")
    assert handler.lines == ["r-1 42 in", "r-1 theirs given", "None None out"]


def test_a_name_that_each_line_has_itself_is_refused() -> None:
    with pytest.raises(SettingsError, match="args, message"):
        RequestLogFilter("message", "args")


def test_structlog_has_the_id_and_the_variables_that_are_set(inside: Inside) -> None:
    renderer = structlog.processors.KeyValueRenderer(sort_keys=True)
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(), processors=[request_processor("user_id", "other"), renderer]
    )
    lines: list[str] = []

    def view() -> None:
        current()["user_id"] = 42
        lines.append(logger.info("in"))
        lines.append(logger.info("given", request_id="theirs"))

    inside(view)
    lines.append(logger.info("out"))
    assert lines == [
        "event='in' request_id='r-1' user_id=42",
        "event='given' request_id='theirs' user_id=42",
        "event='out'",
    ]
