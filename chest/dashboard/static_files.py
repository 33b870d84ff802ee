"""``StaticFiles``: the files of the page, which are part of the package."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from chest.request.wsgi import WSGIAnswer, WSGIEnvironment, text_answer

__all__ = ["FILES", "page", "static_file"]

_DIRECTORY: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "index.html": "text/html; charset=utf-8",
}
FILES: Final = ("page.js", "page.css")
"""What is served under its own name."""
_REVALIDATED: Final = {"Cache-Control": "no-cache"}
_LINK: Final = re.compile(rb'(?<==")(?=(?:static/)?page\.(?:js|css)")')
"""Where a link to a file of the page begins in ``index.html``."""


def static_file(name: str, environ: WSGIEnvironment) -> WSGIAnswer:
    """The file of this name; 304 if the browser has it, 404 if there is none."""
    return _answer(_DIRECTORY / name, environ) if name in FILES else text_answer(404, "Not Found")


def page(environ: WSGIEnvironment, depth: int) -> WSGIAnswer:
    """The page. It is the same for every question, and holds nothing of a record.

    :param depth: how many directories its URL lies below the page's root.
    """
    return _answer(_DIRECTORY / "index.html", environ, "../" * depth)


def _answer(path: Path, environ: WSGIEnvironment, prefix: str = "") -> WSGIAnswer:
    try:
        about = path.stat()
        body, tag = _content(path, about.st_mtime_ns, about.st_size, prefix)
    except OSError:
        return text_answer(404, "Not Found")
    headers = {**_REVALIDATED, "ETag": tag}
    known = {each.strip().removeprefix("W/") for each in environ.get("HTTP_IF_NONE_MATCH", "").split(",")}
    if tag in known:
        return WSGIAnswer(304, _TYPES[path.name], b"", headers)
    return WSGIAnswer(200, _TYPES[path.name], body, headers)


@lru_cache(maxsize=16)
def _content(path: Path, _modified_ns: int, _size: int, prefix: str) -> tuple[bytes, str]:
    body = path.read_bytes()
    if prefix:
        body = _LINK.sub(prefix.encode(), body)
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
