"""Views of each kind: plain, streaming, asynchronous; and what they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from chest import current
from mysite.middleware import SoldOut


def item(request: HttpRequest, number: int) -> JsonResponse:
    if number > 99:
        raise Http404("no such item")
    current()["item_id"] = number
    return JsonResponse({"price": 12 / number})


def buy(request: HttpRequest, number: int) -> HttpResponse:
    raise SoldOut(f"item {number} is sold out")


def year(request: HttpRequest, year: str) -> HttpResponse:
    return HttpResponse(year)


def rows(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(3):
            current().increment("rows")
            yield f"{number}\n"

    return StreamingHttpResponse(lines())


async def later(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    current()["is_later"] = True
    return HttpResponse("later")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied
