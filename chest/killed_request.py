"""The record of a request whose process was killed, made as fit to be stored as that of any other."""

from __future__ import annotations

from chest.record import Record
from chest.request.redaction import Redaction
from chest.request.request_id import MOST_CHARACTERS
from chest.row import METHOD_CHARACTERS, PATH_CHARACTERS, utf8_path
from chest.settings import REDACTED_BY_DEFAULT
from chest.text import text


def cleaned_killed_request(record: Record) -> Record:
    """What was noted when the request began, for whoever recovers it: then there was no time to look at it.

    The application that might have said what else to redact is gone: a URL in the path loses what it loses by default.
    """
    redaction = Redaction(REDACTED_BY_DEFAULT, ())
    return record._replace(
        request_id=text(record.request_id, MOST_CHARACTERS),
        method=text(record.method, METHOD_CHARACTERS),
        path=text(redaction.clean_url(utf8_path(record.path)), PATH_CHARACTERS),
    )
