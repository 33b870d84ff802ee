"""Answers an exception of the shop's; the record says which one it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse


class SoldOut(Exception):
    pass


class sold_out:
    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        if request.path == "/broken/":
            raise ConnectionError("no connection to the stock")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return HttpResponse("sold out", status=409) if isinstance(exception, SoldOut) else None
