"""mozlog for ``logging``: one line a record, whatever is in it, set up in either way that ``logging`` has."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chest import ChestMiddleware
from chest.chests.memory import MemoryChest
from chest.dockerflow.logging import (
    JsonLogFormatter,
    MozlogFormatter,
    MozlogHandler,
    RequestIdLogFilter,
    request_id_context,
)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop.orders")
    handler = MozlogHandler(stream, "shop")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    said: dict[str, Any] = json.loads(line)
    return said


def test_a_record_is_a_message_of_mozlog(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.warning("%s is low", "stock", extra={"item": 7, "phase": "sale"})
    said = only_line(stream)
    assert isinstance(said.pop("Timestamp"), int)
    assert said == {
        "Type": "shop.orders",
        "Logger": "shop",
        "Hostname": socket.gethostname(),
        "EnvVersion": "2.0",
        "Severity": 4,
        "Pid": os.getpid(),
        "Fields": {"item": 7, "phase": "sale", "msg": "stock is low"},
    }


@pytest.mark.parametrize(("level", "severity"), [(50, 2), (40, 3), (30, 4), (20, 6), (10, 7), (25, 7), (5, 7)])
def test_levels_are_told_as_syslog_has_them(level: int, severity: int, stream: io.StringIO) -> None:
    record = logging.LogRecord("it", level, "file.py", 1, "said", (), None)
    MozlogHandler(stream).emit(record)
    assert only_line(stream)["Severity"] == severity


def test_the_time_is_when_it_was_said(stream: io.StringIO) -> None:
    record = logging.LogRecord("it", 20, "file.py", 1, "said", (), None)
    record.created = 1_700_000_000.5
    MozlogHandler(stream).emit(record)
    assert only_line(stream)["Timestamp"] == 1_700_000_000_500_000_000


def test_an_exception_is_told_with_its_traceback(logger: logging.Logger, stream: io.StringIO) -> None:
    try:
        raise ValueError('\n{"Type": "forged"}')
    except ValueError:
        logger.exception("It went wrong")
    fields = only_line(stream)["Fields"]
    assert fields["msg"] == "It went wrong"
    assert fields["error"] == """ValueError('\\n{"Type": "forged"}')"""
    assert fields["traceback"].startswith("Uncaught exception:\n  File ")
    assert '\n{"Type"' not in fields["traceback"]
    assert fields["traceback"].endswith(f"<class 'ValueError'>\n{fields['error']}\n")


def test_a_message_that_is_json_itself_is_left_out(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.info(json.dumps({"spam": "eggs"}), extra={"more": 1})
    assert only_line(stream)["Fields"] == {"more": 1}


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_what_cannot_be_shown_is_survived(logger: logging.Logger, stream: io.StringIO) -> None:
    try:
        raise UnprintableError
    except UnprintableError:
        logger.exception("It went wrong", extra={"it": Unprintable(), "nan": float("nan")})
    fields = only_line(stream)["Fields"]
    assert fields["it"] == "<Unprintable whose repr raises RuntimeError>"
    assert fields["error"] == "<UnprintableError whose repr raises RuntimeError>"
    assert fields["nan"] == "nan"


def test_arguments_that_do_not_fit_are_told(stream: io.StringIO) -> None:
    MozlogHandler(stream).emit(logging.LogRecord("it", 20, "file.py", 1, "%d items", ("no number",), None))
    assert only_line(stream)["Fields"]["msg"] == "'%d items' ('no number',)"


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85"])
def test_no_value_breaks_the_line(end: str, logger: logging.Logger, stream: io.StringIO) -> None:
    logger.info(f'a{end}{{"Type": "forged"}}', extra={f"name{end}": f"b{end}c"})
    assert only_line(stream)["Type"] == "shop.orders"


def test_a_formatter_s_name_holds_if_no_handler_has_one(stream: io.StringIO) -> None:
    record = logging.LogRecord("it", 20, "file.py", 1, "said", (), None)
    formatter = MozlogFormatter(logger_name="of the formatter")
    assert json.loads(formatter.format(record))["Logger"] == "of the formatter"
    handler = MozlogHandler(stream, name="of the handler")
    handler.setFormatter(formatter)
    handler.emit(record)
    assert only_line(stream)["Logger"] == "of the handler"


def test_a_subclass_may_add_to_the_message(stream: io.StringIO) -> None:
    class Formatter(MozlogFormatter):
        def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
            message = super().convert_record(record)
            message["Fields"]["region"] = "eu"
            return message

    handler = MozlogHandler(stream)
    handler.setFormatter(Formatter())
    handler.emit(logging.LogRecord("it", 20, "file.py", 1, "said", (), None))
    assert only_line(stream)["Fields"] == {"msg": "said", "region": "eu"}


def test_the_former_name_warns() -> None:
    with pytest.warns(DeprecationWarning, match="Use MozlogFormatter"):
        assert JsonLogFormatter(logger_name="shop").logger_name == "shop"


def test_a_handler_writes_to_standard_output_unless_it_is_told_another(capsys: pytest.CaptureFixture[str]) -> None:
    MozlogHandler().emit(logging.LogRecord("it", 20, "file.py", 1, "said", (), None))
    assert json.loads(capsys.readouterr().out)["Logger"] == "Dockerflow"


# -- setting it up ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def configured() -> Iterator[logging.Logger]:
    logger = logging.getLogger("configured")
    yield logger
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def test_it_is_set_up_by_dict_config(configured: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": "chest.dockerflow.RequestIdLogFilter"}},
            "formatters": {"mozlog": {"()": "chest.dockerflow.MozlogFormatter", "logger_name": "shop"}},
            "handlers": {
                "handler": {
                    "class": "chest.dockerflow.MozlogHandler",
                    "filters": ["request_id"],
                    "name": "shop",
                },
                "formatter": {"class": "logging.StreamHandler", "formatter": "mozlog", "stream": sys.stdout},
            },
            "loggers": {"configured": {"handlers": ["handler", "formatter"], "level": "INFO", "propagate": False}},
        }
    )
    configured.info("said")
    one, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["Logger"] == other["Logger"] == "shop"
    assert one["Fields"] == {"rid": None, "msg": "said"}


@pytest.mark.parametrize(
    "handler",
    [
        "class = chest.dockerflow.MozlogHandler\nargs = (sys.stdout, 'shop')",
        "class = StreamHandler\nargs = (sys.stdout,)\nformatter = mozlog",
    ],
    ids=["handler", "formatter"],
)
def test_it_is_set_up_by_file_config(
    handler: str, configured: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logging.ini"
    file.write_text(
        textwrap.dedent(
            """
            [loggers]
            keys = root, configured
            [handlers]
            keys = console
            [formatters]
            keys = mozlog
            [formatter_mozlog]
            class = chest.dockerflow.MozlogFormatter
            [logger_root]
            handlers =
            [logger_configured]
            qualname = configured
            level = INFO
            handlers = console
            propagate = 0
            [handler_console]
            level = DEBUG
            """
        )
        + handler
    )
    root_handlers, root_level = logging.root.handlers[:], logging.root.level
    try:
        logging.config.fileConfig(file, disable_existing_loggers=False)
    finally:
        logging.root.handlers[:], logging.root.level = root_handlers, root_level
    configured.info("said")
    said = json.loads(capsys.readouterr().out)
    assert said["Logger"] in ("shop", "Dockerflow")
    assert said["Fields"] == {"msg": "said"}


# -- the request's id ------------------------------------------------------------------------------------------------------


def rid_of(**attributes: Any) -> Any:
    record = logging.makeLogRecord(attributes)
    assert RequestIdLogFilter().filter(record) is True
    return record.rid  # type: ignore[attr-defined]


def test_outside_a_request_there_is_no_id() -> None:
    assert rid_of() is None


def test_in_a_recorded_request_the_id_is_the_recorder_s(tmp_path: Path) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(rid_of())
        start_response("200 OK", [])
        return []

    chest = MemoryChest()
    recorded = ChestMiddleware(app, chests=[chest], directory=tmp_path)
    recorded({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": "order-42"}, lambda *_: None)
    assert recorded.recorder.close(60)
    assert seen == ["order-42"] == [chest.records[0].request_id]


def test_if_no_recorder_has_one_the_id_is_that_of_the_context_variable() -> None:
    token = request_id_context.set("of the adapter")
    assert rid_of() == "of the adapter"
    assert rid_of(rid="its own") == "its own"
    request_id_context.reset(token)
