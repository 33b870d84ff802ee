"""``ServedContext``: the context of a request while it is served, which is its ``start_response``, too."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from chest.request.context import RequestContext
from chest.request.request_id import MOST_CHARACTERS, is_echoable
from chest.speedups import IS_NATIVE, StartResponse

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class ServedContext(RequestContext):
    """What stands in ``environ`` and is handed to the application as its ``start_response``: one object for both.

    Made without ``__init__``, filled in by the middleware: a Python call, and another object, are a tenth of what a request
    pays for us.
    """

    __slots__ = ()

    @property
    def is_being_recorded(self) -> bool:
        return True

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """``start_response`` (PEP 3333). ``exc_info`` is passed on only where it was given, and no reference to it is kept."""
        if exc_info is None:
            self._server_write = self._server_start_response(status, headers)
        else:
            try:
                self._server_write = self._server_start_response(status, headers, exc_info)
            except SystemError:  # uWSGI's way with exc_info: it takes the new status, and then raises this
                self._status = status
                raise
            finally:
                exc_info = None
        self._headers = headers
        self._status = status  # only now: what the server refused (said twice, or after it sent the first) is not sent
        return self._write

    def _write(self, data: bytes) -> object:
        """The imperative way of PEP 3333; its bytes count as the body's."""
        self._told().written_bytes += len(data)
        return self._server_write(data)

    def _echoed_id(self) -> str | None:
        """The id for a header; None where what the application made of it may stand in none."""
        facts = self._facts
        if facts is None or facts.request_id is None:
            return self._request_id
        cut = facts.request_id[:MOST_CHARACTERS] if isinstance(facts.request_id, str) else None
        return cut if is_echoable(cut) else None


def echoing_context(header: str) -> type[ServedContext]:
    """A :class:`ServedContext` whose responses carry the request's id in this header, unless the application set one.

    The application's own list of headers is never changed.
    """
    lower_name, length, start = header.lower(), len(header), ServedContext.__call__

    class EchoingContext(ServedContext):
        __slots__ = ()

        def __call__(
            self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            try:
                if type(headers) is list or isinstance(headers, list):
                    for name, _ in headers:
                        if len(name) == length and name.lower() == lower_name:
                            break
                    else:
                        request_id = self._request_id if self._facts is None else self._echoed_id()
                        if request_id is not None:
                            headers = [*headers, (header, request_id)]
            except Exception:  # noqa: BLE001 - headers that are no list of pairs: the server says so better than we could
                pass
            if exc_info is not None:
                return start(self, status, headers, exc_info)
            # As above once more, since a call costs as much as all of it.
            self._server_write = self._server_start_response(status, headers)
            self._headers = headers
            self._status = status
            return self._write

    return _quick(EchoingContext, header) if IS_NATIVE and header.isascii() else EchoingContext


def _quick(context_class: type[ServedContext], header: str | None) -> type[ServedContext]:
    """The same class with a ``start_response`` in C, which asks the one in Python wherever something is unusual."""
    return type(
        context_class.__name__,
        (context_class,),
        {"__slots__": (), "__call__": StartResponse(context_class, header and str(header))},
    )


def served_context() -> type[ServedContext]:
    """A :class:`ServedContext` whose responses carry no id."""
    return _quick(ServedContext, None) if IS_NATIVE else ServedContext
