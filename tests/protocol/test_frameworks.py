"""A framework in the middleware answers as it does bare: status, headers, every chunk, and every exception."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Final, NamedTuple
from wsgiref.util import FileWrapper

import pytest

from tests import servers
from tests.protocol.exchange import Exchange, Recorded, environ_of
from tests.protocol.framework_apps import SITES

# Bottle leaves the file open of which it was asked for a range that is not there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_UPLOAD: Final = (
    b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\x00\r\n--edge--\r\n"
)


class Asked(NamedTuple):
    """One request."""

    path: str
    method: str = "GET"
    environ: dict[str, str] = {}
    content: bytes = b""

    def environ_of(self) -> dict[str, Any]:
        """An environ of its own, as its reader uses up the input."""
        return environ_of(
            self.path,
            self.method,
            **self.environ,
            **{
                "CONTENT_LENGTH": str(len(self.content)),
                "wsgi.input": io.BytesIO(self.content),
                "wsgi.errors": io.StringIO(),
                "wsgi.file_wrapper": FileWrapper,
            },
        )


REQUESTS: Final = {
    "page": Asked("/"),
    "head of a page": Asked("/", "HEAD"),
    "options": Asked("/", "OPTIONS"),
    "query": Asked("/json", environ={"QUERY_STRING": "b=2&a=%C3%A9"}),
    "form": Asked("/form", "POST", {"CONTENT_TYPE": "application/x-www-form-urlencoded"}, b"a=1&b=%C3%A9"),
    "upload": Asked("/form", "POST", {"CONTENT_TYPE": "multipart/form-data; boundary=edge"}, _UPLOAD),
    "stream": Asked("/stream"),
    "head of a stream": Asked("/stream", "HEAD"),
    "stream that fails": Asked("/stream-that-fails"),
    "file": Asked("/file"),
    "head of a file": Asked("/file", "HEAD"),
    "range of a file": Asked("/file", environ={"HTTP_RANGE": "bytes=10-19"}),
    "range beyond a file": Asked("/file", environ={"HTTP_RANGE": "bytes=999999-"}),
    "file not modified": Asked("/file", environ={"HTTP_IF_MODIFIED_SINCE": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "redirect": Asked("/redirect"),
    "no content": Asked("/empty"),
    "forbidden": Asked("/abort"),
    "not found": Asked("/missing"),
    "wrong method": Asked("/json", "DELETE"),
    "path in UTF-8": Asked("/caf\u00c3\u00a9/\u00c3\u00a9"),
    "path in latin-1": Asked("/caf\u00e9/x"),
    "cookies": Asked("/cookies", environ={"HTTP_COOKIE": "a=1; b=2"}),
    "exception": Asked("/raises"),
}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One site after the other."""
    servers.needs(request.param.split()[0])
    file: Path = tmp_path_factory.mktemp("site") / "file.txt"
    file.write_bytes(bytes(range(256)) * 400)
    os.utime(file, (1_600_000_000, 1_600_000_000))
    return SITES[request.param](file)


def _known(exchange: Exchange) -> Any:
    """What a client and a server come to know; an exception by its type and text, as each run raises its own."""
    headers = [(name, value) for name, value in exchange.headers if name not in ("X-Request-ID", "Date")]
    return exchange.status, headers, exchange.chunks, type(exchange.error), str(exchange.error)


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS)
def test_a_site_answers_as_it_does_bare(site: Any, asked: Asked) -> None:
    bare = Exchange().run(site, asked.environ_of())
    recorded = Recorded(site)
    exchange = Exchange().run(recorded, asked.environ_of())
    assert _known(exchange) == _known(bare)
    assert (type(exchange.body) is FileWrapper) == (type(bare.body) is FileWrapper)
    record = recorded.record
    assert record.status == int(bare.status[:3] or 500)
    assert record.error == (type(bare.error).__name__ if bare.error else bare.answered)


def test_the_sites_stream_send_files_and_fail(tmp_path: Path) -> None:
    """What makes the comparison above worth something: there are bodies of every kind among the answers."""
    kinds = set()
    for name, make in SITES.items():
        servers.needs(name.split()[0])
        file = tmp_path / "file.txt"
        file.write_bytes(b"content")
        bare = make(file)
        for asked in REQUESTS.values():
            exchange = Exchange().run(bare, asked.environ_of())
            kinds.add(type(exchange.body).__name__ if exchange.error is None else type(exchange.error).__name__)
    assert {"list", "FileWrapper", "ClosingIterator", "StreamingHttpResponse", "HttpResponse", "SiteError"} <= kinds
