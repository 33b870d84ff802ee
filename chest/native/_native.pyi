from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from mmap import mmap
from typing import Any, Self, TypeVar

from chest.wsgi import StartResponse as WSGIStartResponse
from chest.wsgi import WSGIEnvironment

T = TypeVar("T")

def perf_counter_ns() -> int: ...
def records_of(
    rows: list[Any],
    resource: tuple[str, str, str],
    record_class: type[T],
    codes: dict[Any, int | None],
    methods: frozenset[str],
    body_size: str,
    ok: str,
    error: str,
    in_python: Callable[[Any, Any], T],
    /,
) -> list[T]: ...

class Segment(mmap):
    def seek(self, place: int, /) -> None: ...  # type: ignore[override]

class Offering:
    _idle: list[Any]
    def offer_line(self, line: bytes, /) -> bool: ...
    def _go_by(self, mark: Any, /) -> None: ...

class RandomIds:
    def _forget(self) -> None: ...

class CountedIds:
    def _begin(self, process: int, block: int, /) -> None: ...
    def _take_block(self) -> int: ...

class Notes:
    idle: list[Any]

class Slot:
    home: list[Slot]
    def __new__(cls, memory: mmap, offset: int, length: int, home: list[Any]) -> Self: ...
    def write(self, line: bytes, /) -> None: ...
    def clear(self) -> None: ...

class StartResponse:
    def __new__(cls, context_class: type, header: str | None, /) -> Self: ...
    def __call__(self, *args: Any) -> Callable[[bytes], object]: ...
    def __get__(self, context: Any, owner: type | None = None) -> Any: ...

class Stream:
    _current: ContextVar[Any]
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

class Serving:
    def __call__(self, environ: WSGIEnvironment, start_response: WSGIStartResponse) -> Iterable[bytes]: ...
    def _quicken(
        self,
        *,
        is_simple: bool,
        app: Callable[..., Any],
        mark: Any,
        in_flight: Any,
        request_ids: RandomIds,
        ready_request_ids: list[str],
        record_ids: CountedIds,
        ready_tails: list[str],
        context_class: type,
        finished_context: type,
        unrecorded_context: Callable[[], object],
        stream_class: type,
        excludes: Callable[[Any], object] | None,
        excluded_paths: frozenset[str],
        header_key: str,
        known_names: set[str],
        offer: Callable[[bytes], object],
        recording: Any,
        current: ContextVar[Any],
    ) -> None: ...
