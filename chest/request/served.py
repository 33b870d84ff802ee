"""``ServedContext``: the context of a request while it is served; it is also its ``start_response``."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from types import TracebackType
from typing import Final

from chest.native import IS_NATIVE, StartResponse, agree
from chest.request.context import RequestContext
from chest.request.framework import known_of, read_left
from chest.request.metadata import RequestMetadata
from chest.request.request_id import MOST_CHARACTERS, is_echoable

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

CACHE_CONTROL: Final = "cache-control"
IMMUTABLE: Final = "immutable"
agree(CACHE_CONTROL=CACHE_CONTROL, IMMUTABLE=IMMUTABLE)
_POSITIONAL: Final = Parameter.POSITIONAL_OR_KEYWORD
_SIGNATURE: Final = Signature(
    [
        Parameter("status", _POSITIONAL),
        Parameter("headers", _POSITIONAL),
        Parameter("exc_info", _POSITIONAL, default=None),
    ]
)


class ServedContext(RequestContext):
    """What stands in ``environ`` and is handed to the application as its ``start_response``: one object for both.

    Made without ``__init__``, filled in by the middleware: a Python call, and another object, are a tenth of what a request
    pays for us.
    """

    __slots__ = ()

    # The attributes of a function, for code that inspects them.
    __name__ = "start_response"
    __signature__ = _SIGNATURE

    @property
    def is_being_recorded(self) -> bool:
        return True

    def __bool__(self) -> bool:
        """A function is true, however few variables there are: applications ask ``if start_response:``."""
        return True

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """``start_response`` (PEP 3333). ``exc_info`` is passed on only if it was given, and no reference to it is kept."""
        if self._environ is not None:
            read_left(self._environ, self)
        if exc_info is None:
            self._server_write = self._server_start_response(status, headers)
        else:
            try:
                self._record_answered(exc_info)
                self._server_write = self._server_start_response(status, headers, exc_info)
            except SystemError:  # uWSGI's way with exc_info: it takes the new status, and then raises this
                self._status = status
                raise
            finally:
                exc_info = None
        self._headers = headers
        self._status = status  # only now: what the server refused (said twice, or after it sent the first) is not sent
        return self._write

    def _record_answered(self, exc_info: ExcInfo) -> None:
        """The exception that the application answers."""
        try:
            if exc_info[1] is not None:
                self.record_error(exc_info[1])
        except Exception:  # noqa: BLE001 - no exc_info: the server says so
            pass

    def _write(self, data: bytes) -> object:
        """The imperative way of PEP 3333; its bytes count as the body's once the server has taken them."""
        answer = self._server_write(data)
        try:
            self._ensure_metadata().written_bytes += len(data)
        except Exception:  # noqa: BLE001 - no bytes at all, and yet the server took it
            pass
        return answer

    def _echoed_id(self) -> str | None:
        """The id for a header; None if the application changed it to a text that no header may hold."""
        metadata = self._metadata
        if metadata is None or metadata.request_id is None:
            return self._request_id
        cut = metadata.request_id[:MOST_CHARACTERS] if isinstance(metadata.request_id, str) else None
        return cut if is_echoable(cut) else None


def is_immutable(name: str, value: str) -> bool:
    """True for a header that has caches keep the response for good (RFC 8246), and hand it to everybody."""
    return name.lower() == CACHE_CONTROL and IMMUTABLE in value.lower()


def echoing_context(header: str) -> type[ServedContext]:
    """A :class:`ServedContext` whose responses carry the request's id in this header.

    Not if the application set one, nor if the response is immutable: a cache would hand one request's id to everybody.

    The application's own list of headers is never changed.
    """
    lower_name, start = header.lower(), ServedContext.__call__

    class EchoingContext(ServedContext):
        __slots__ = ()

        def __call__(
            self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            try:
                if isinstance(headers, list):
                    for name, value in headers:
                        if name.lower() == lower_name or is_immutable(name, value):
                            break
                    else:
                        request_id = self._request_id if self._metadata is None else self._echoed_id()
                        if request_id is not None:
                            headers = [*headers, (header, request_id)]
            except Exception:  # noqa: BLE001 - headers that are no list of pairs: the server says so better than we could
                pass
            return start(self, status, headers, exc_info)

    return _quick(EchoingContext, header) if IS_NATIVE and header.isascii() else EchoingContext


def _quick(context_class: type[ServedContext], header: str | None) -> type[ServedContext]:
    """The same class with a ``start_response`` in C, which asks the one in Python wherever something is unusual."""
    return type(
        context_class.__name__,
        (context_class,),
        {
            "__slots__": (),
            "__call__": StartResponse(context_class, header and str(header), read_left, known_of, RequestMetadata),
        },
    )


def served_context() -> type[ServedContext]:
    """A :class:`ServedContext` whose responses carry no id."""
    return _quick(ServedContext, None) if IS_NATIVE else ServedContext
