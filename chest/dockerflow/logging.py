"""mozlog for Python's ``logging``: ``MozlogFormatter``, ``MozlogHandler`` and ``RequestIdLogFilter``.

From ``dictConfig``::

    {
        "version": 1,
        "filters": {"request_id": {"()": "chest.dockerflow.logging.RequestIdLogFilter"}},
        "handlers": {
            "console": {"class": "chest.dockerflow.logging.MozlogHandler", "filters": ["request_id"]},
        },
        "loggers": {"request.summary": {"handlers": ["console"], "level": "INFO"}},
    }
"""

from __future__ import annotations

import logging
import socket
import sys
import traceback
import warnings
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ClassVar, Literal, TextIO

from chest.record import mozlog
from chest.request.closed_contexts import current

__all__ = ["JsonLogFormatter", "MozlogFormatter", "MozlogHandler", "RequestIdLogFilter", "request_id_context"]

request_id_context: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, if no recorder has one."""


class MozlogFormatter(logging.Formatter):
    """Formats each log record as one line of JSON, in mozlog 2.0.

    What ``extra`` gave to a record is in its ``Fields``, and so are its text as ``msg``, unless it looks like JSON itself,
    and its exception as ``error`` and ``traceback``. Nothing in a record breaks the line or raises.

    :param fmt: ignored, as are ``datefmt`` and ``style``.
    :param logger_name: ``Logger``: the application's name; the name of a :class:`MozlogHandler` wins.
    """

    LOGGING_FORMAT_VERSION = mozlog.VERSION

    SYSLOG_LEVEL_MAP: ClassVar[dict[int, int]] = {
        logging.CRITICAL: 2,
        logging.ERROR: mozlog.ERROR,
        logging.WARNING: 4,
        logging.INFO: mozlog.INFO,
        logging.DEBUG: mozlog.DEBUG,
    }
    DEFAULT_SYSLOG_LEVEL: ClassVar[int] = mozlog.DEBUG
    """For any other level."""

    EXCLUDED_LOGRECORD_ATTRS: ClassVar[set[str]] = {
        "args", "asctime", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno", "lineno",
        "logger_name", "message", "module", "msecs", "msg", "name", "pathname", "process", "processName",
        "relativeCreated", "stack_info", "taskName", "thread", "threadName",
    }  # fmt: skip

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        logger_name: str = "Dockerflow",
    ) -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)
        self.logger_name = logger_name
        self.hostname = socket.gethostname()

    def is_value_jsonlike(self, value: str) -> bool:
        """True if a text looks like a JSON object."""
        return value.startswith("{") and value.endswith("}")

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        """The message of a record; subclasses may add to it. Values of any type are converted."""
        fields = {name: value for name, value in vars(record).items() if name not in self.EXCLUDED_LOGRECORD_ATTRS}
        text = _text_of(record)
        if text and not self.is_value_jsonlike(text):
            fields["msg"] = text
        if record.exc_info:
            fields["error"] = mozlog.safe_repr(record.exc_info[1])
            fields["traceback"] = safer_format_traceback(*record.exc_info)
        return mozlog.message(
            time_ns=int(record.created * 1e9),
            kind=record.name,
            logger=getattr(record, "logger_name", self.logger_name),
            hostname=self.hostname,
            severity=self.SYSLOG_LEVEL_MAP.get(record.levelno, self.DEFAULT_SYSLOG_LEVEL),
            pid=record.process,
            fields=fields,
        )

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        return mozlog.one_line(self.convert_record(record))


class JsonLogFormatter(MozlogFormatter):
    """The former name of :class:`MozlogFormatter`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "JsonLogFormatter has been deprecated. Use MozlogFormatter instead", DeprecationWarning, stacklevel=2
        )
        super().__init__(*args, **kwargs)


class MozlogHandler(logging.StreamHandler[TextIO]):
    """Writes records to a stream in mozlog.

    :param stream: None takes ``sys.stdout``.
    :param name: ``Logger``: the application's name.
    """

    def __init__(self, stream: TextIO | None = None, name: str = "Dockerflow") -> None:
        super().__init__(sys.stdout if stream is None else stream)
        self.logger_name = name
        self.setFormatter(MozlogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, with the handler's name."""
        record.logger_name = self.logger_name
        super().emit(record)


class RequestIdLogFilter(logging.Filter):
    """Sets ``rid`` of each log record to the id of the request being served; None outside a request. Drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set ``rid``, unless the record has one."""
        if getattr(record, "rid", None) is None:
            record.rid = current().request_id or request_id_context.get()
        return True


def safer_format_traceback(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> str:
    """A traceback that shows the exception by its ``repr``, so that its text cannot forge another line."""
    frames = "".join(traceback.format_tb(trace))
    return f"Uncaught exception:\n{frames}{kind!r}\n{mozlog.safe_repr(error)}\n"


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit, or that raise: keep the unformatted text
        return f"{mozlog.safe_repr(record.msg)} {mozlog.safe_repr(record.args)}"
