"""``instrument_requests``: calls of a session of requests carry the request's id and trace, and are counted."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter

from chest.instruments.httpx_client import HTTP_CLIENT
from chest.instruments.outgoing import outgoing_headers
from chest.request.closed_contexts import current


class _Adapter(BaseAdapter):
    """Around the adapter that a session has for an address."""

    def __init__(self, adapter: BaseAdapter, hands_on: bool, counts: bool) -> None:
        super().__init__()
        self._adapter = adapter
        self._hands_on = hands_on
        self._counts = counts

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        if self._hands_on:
            request.headers.update(outgoing_headers(request.headers))
        with current().timer(HTTP_CLIENT) if self._counts else nullcontext():
            return self._adapter.send(request, **options)

    def close(self) -> None:
        self._adapter.close()


def instrument_requests(session: Session, *, hands_on: bool = True, counts: bool = True) -> None:
    """Have each call of this session carry :func:`outgoing_headers`, and add to ``http_client_count`` and ``http_client_ms``.

    The time is that until the headers of the answer have come, or the call failed. Adapters that are mounted later are not seen.

    :param session: whose adapters are mounted anew.
    :param hands_on: whether the headers are added. Not for a session of strangers' services.
    :param counts: whether calls are counted.
    """
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, _Adapter(adapter, hands_on, counts))
