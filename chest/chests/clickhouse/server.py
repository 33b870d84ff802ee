"""``ClickHouseServer``: statements for ClickHouse's HTTP interface, and what its answers mean."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.http_client import HttpClient, HttpReply
from chest.chests.http_status import NoAnswer, error_of, seconds_to_retry
from chest.chests.proxy import Proxy
from chest.errors import ChestError, ChestUnavailable, LoginRefused, RecordRejected, UnknownDatabase
from chest.record.encoding import decode
from chest.record.messages import one_line

__all__ = ["UNKNOWN_TABLE", "ClickHouseServer", "StatementFailed", "literal"]

_MOST_ANSWER_BYTES: Final = 1 << 30
_GZIP_LEVEL: Final = 1
"""Level 6 takes five times the time for a fifth of the size."""
_CODE: Final = re.compile(rb"Code: (\d+)\.")
_LOGIN: Final = frozenset({192, 193, 194, 195, 516})
_DENIED: Final = 497
UNKNOWN_TABLE: Final = 60
_UNKNOWN_DATABASE: Final = 81
_OF_A_ROW: Final = frozenset({6, 25, 26, 27, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 467, 469})
"""What the server says of a value that it cannot read or that a constraint of the table refuses: parse errors, values out of
range, invalid UTF-8. Any other refusal may be corrected, and says nothing about the records."""
_OF_A_VIEW: Final = b"while pushing to view"
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})


class StatementFailed(ChestUnavailable):
    """The server refused a statement; ``code`` is its own.

    :param is_of_a_row: a value that is to be inserted is what it refuses.
    """

    def __init__(self, message: str, code: int, retry_after: float | None = None, *, is_of_a_row: bool = False) -> None:
        super().__init__(message, retry_after)
        self.code, self.is_of_a_row = code, is_of_a_row


class ClickHouseServer:
    """Asks the first host that answers; one that does not is asked again when the others do not either.

    Statements name their table in full and carry their settings, so that a host is asked nothing else.
    """

    def __init__(self, target: ClickHouseTarget) -> None:
        self._target = target
        self._hosts = [_client_of(target, address) for address in target.addresses]
        self._current = 0

    def prepare(self) -> None:
        """What takes time before the first statement; connects to nothing."""
        self._hosts[self._current].prepare()

    def run(self, statement: str, *, is_read: bool = False, timeout_seconds: float | None = None) -> str:
        """Run a statement and return its output; on the next host if one does not answer.

        One that writes, and was sent to a host, is at work there: it goes to no other host when its time is over.

        :param is_read: it cannot write, and the server ends it when no answer is waited for any more.
        :param timeout_seconds: how long to wait for the answer; None: what the URL says.
        :raises ChestUnavailable: no host answered, or the statement was refused (:exc:`StatementFailed`).
        """
        params = {"readonly": "2", "max_execution_time": f"{2 * self._target.timeout_seconds:g}"} if is_read else {}
        for _ in self._hosts[1:]:
            try:
                return self._ask(statement.encode(), params, timeout_seconds=timeout_seconds)
            except StatementFailed:
                raise
            except ChestUnavailable as error:
                if isinstance(error, NoAnswer) and not is_read:
                    raise
        return self._ask(statement.encode(), params, timeout_seconds=timeout_seconds)

    def rows(self, statement: str) -> list[list[Any]]:
        """The rows of a SELECT, which cannot write."""
        said = self.run(f"{statement} FORMAT JSONCompactEachRow", is_read=True)
        try:
            return [decode(line) for line in said.split("\n") if line]
        except ValueError:
            raise ChestUnavailable(
                f"{self._target.name} answered 200 with no rows: is this ClickHouse's HTTP port? A proxy may answer in its place."
            ) from None

    def insert(self, statement: str, lines: bytes) -> None:
        """Insert rows. A host that does not answer may have them: the next try asks another one.

        :raises RecordRejected: a row is invalid.
        """
        headers = httpx.Headers()
        if self._target.is_gzipped:
            headers["Content-Encoding"] = "gzip"
            lines = gzip.compress(lines, _GZIP_LEVEL, mtime=0)
        try:
            self._ask(lines, {"query": statement}, headers)
        except StatementFailed as error:
            if error.is_of_a_row:
                raise RecordRejected(str(error)) from None
            raise

    def wait_at_most(self, seconds: float) -> None:
        """Have no statement take longer than so long in all."""
        for host in self._hosts:
            host.wait_at_most(seconds / len(self._hosts))

    def close(self) -> None:
        """Close the connections that were made here; the next statement makes others."""
        for host in self._hosts:
            host.close()

    def _ask(
        self,
        content: bytes,
        params: dict[str, str],
        headers: httpx.Headers | None = None,
        timeout_seconds: float | None = None,
    ) -> str:
        params = {**params, "wait_end_of_query": "1", "output_format_json_quote_64bit_integers": "0"}
        host = self._hosts[self._current]
        try:
            answer = host.ask(
                "POST", headers, content, params=params, most_bytes=_MOST_ANSWER_BYTES, timeout_seconds=timeout_seconds
            )
        except ChestUnavailable:
            self._current = (self._current + 1) % len(self._hosts)
            raise
        if answer.status == 200:
            return answer.content.decode("utf-8", "replace")
        raise self._error_of(answer)

    def _error_of(self, answer: HttpReply) -> ChestError:
        code = int(match[1]) if (match := _CODE.search(answer.content)) else None
        said, name = one_line(answer.said), self._target.name
        if code is None:
            error = error_of(name, answer.status, answer.said, answer.headers)
            return ChestUnavailable(str(error)) if isinstance(error, RecordRejected) else error
        if code in _LOGIN:
            return LoginRefused(f"{name} refused the log-in: check user and password ({said})")
        if code == _DENIED:
            return LoginRefused(f"{name}: this user lacks a right: GRANT the one that is named here ({said})")
        if code == _UNKNOWN_DATABASE:
            return UnknownDatabase(f"{name}: no such database: check the name, or CREATE DATABASE ({said})")
        # A view that fails is the operator's to mend: the table has taken the row.
        is_of_a_row = code in _OF_A_ROW and _OF_A_VIEW not in answer.content
        return StatementFailed(f"{name}: {said}", code, seconds_to_retry(answer.headers), is_of_a_row=is_of_a_row)


def literal(value: Any) -> str:
    """A value as SQL writes it."""
    if isinstance(value, str):
        return f"'{value.translate(_ESCAPED)}'"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def _client_of(target: ClickHouseTarget, address: str) -> HttpClient:
    url = urlsplit(address)
    login = base64.b64encode(f"{target.user}:{target.password}".encode()).decode()
    headers = httpx.Headers({"Authorization": f"Basic {login}", "Accept-Encoding": "identity"})
    return HttpClient(
        target.name,
        httpx.URL(address),
        headers,
        proxy=Proxy.for_address(url.scheme, url.hostname or "", url.port),
        verify=True if target.ca_file is None else target.ca_file,
        timeout_seconds=target.timeout_seconds,
        secrets=(target.password, login),
    )
