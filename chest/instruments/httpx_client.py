"""``instrument_httpx``: calls of an httpx client carry the request's id and trace, and are counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from chest.instruments.outgoing import outgoing_headers
from chest.request.closed_contexts import current
from chest.request.context import add_elapsed

if TYPE_CHECKING:
    import httpx

HTTP_CLIENT: Final = "http_client"
_BEGIN: Final = "chest.begin_ns"


def instrument_httpx(client: httpx.Client | httpx.AsyncClient, *, hands_on: bool = True, counts: bool = True) -> None:
    """Have each call of this client carry :func:`outgoing_headers`, and add to ``http_client_count`` and ``http_client_ms``.

    The time is that until the headers of the answer have come. A call that fails has none, and is counted. Where a redirect is followed,
    each of its requests is a call.

    :param client: whose event hooks are added to.
    :param hands_on: whether the headers are added. Not for a client of strangers' services.
    :param counts: whether calls are counted.
    """

    def begin(request: httpx.Request) -> None:
        if hands_on:
            request.headers.update(outgoing_headers(request.headers))
        if counts:
            current().increment(f"{HTTP_CLIENT}_count")
            request.extensions = {**request.extensions, _BEGIN: time.perf_counter_ns()}

    def end(response: httpx.Response) -> None:
        begin_ns = response.request.extensions.get(_BEGIN)
        if begin_ns is not None:
            add_elapsed(current(), HTTP_CLIENT, time.perf_counter_ns() - begin_ns)

    async def begin_async(request: httpx.Request) -> None:
        begin(request)

    async def end_async(response: httpx.Response) -> None:
        end(response)

    is_async = hasattr(client, "aclose")
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], begin_async if is_async else begin],
        "response": [end_async if is_async else end, *hooks["response"]],
    }
