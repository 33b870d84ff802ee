"""A request to an application, and its record."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

Make = Callable[..., Any]


class Exchange:
    """One request, made as a server makes it, step by step."""

    def __init__(self, shop: Any, path: str, method: str = "GET") -> None:
        self._shop = shop
        environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method}
        setup_testing_defaults(environ)
        self.body = shop.app(environ, self._start_response)

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        self.status = status
        return io.BytesIO().write

    @property
    def is_recorded(self) -> bool:
        return bool(self._shop.records)

    def finish(self) -> bytes:
        try:
            return b"".join(self.body)
        finally:
            if hasattr(self.body, "close"):
                self.body.close()


class OutOfStock(Exception):
    pass
