from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from mmap import mmap
from typing import Any, Self, TypeVar
from wsgiref.types import StartResponse as WSGIStartResponse
from wsgiref.types import WSGIEnvironment

T = TypeVar("T")

constants: dict[str, object]

def note_spans() -> None: ...
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
def encoded_records_of(
    lines: bytes,
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
def flat_rows(
    rows: list[tuple[Any, ...]], most_shared: int, nullable: int, no_value: object, /
) -> tuple[int, tuple[Any, ...]]: ...
def may_hold_secret(text: str, /) -> bool: ...
def catch_termination(seconds: float, /) -> bool: ...
def await_termination() -> bool: ...
def terminate(rings: tuple[tuple[tuple[tuple[object, int], ...], tuple[bytes, ...]] | None, ...], /) -> None: ...
def release_termination() -> None: ...
def map_file(mapping: mmap, descriptor: int, offset: int, keeps: bool, /) -> None: ...
def fault_in(segment: mmap, begin: int, end: int, /) -> bool: ...
def hold_file(descriptor: int, /) -> int: ...
def release_file(address: int, /) -> None: ...

class Segment(mmap):
    faults: int
    def seek(self, place: int, /) -> None: ...  # type: ignore[override]

class FastRing:
    _idle: list[Any]
    def offer_line(self, line: bytes, /) -> bool: ...
    def _set_fork_guard(self, fork_guard: Any, /) -> None: ...

class RandomIds:
    def _forget(self) -> None: ...

class CountedIds:
    def _begin(self, process: int, begin: int, /) -> None: ...
    def _take(self) -> int: ...

class Slot:
    home: list[Slot]
    def __new__(cls, memory: mmap, offset: int, length: int, home: list[Any]) -> Self: ...
    def write(self, line: bytes, /) -> None: ...
    def clear(self) -> None: ...

class Dispatch:
    def __new__(cls, **parts: Any) -> Self: ...
    def __call__(self, *args: Any) -> Any: ...

class Tally:
    known: dict[Any, int]
    memory: mmap
    def count(self, place: int, time_ns: int, duration_ns: int, request_id: str, /) -> None: ...

class StartResponse:
    def __new__(
        cls, context_class: type, header: str | None, read_left: Any, known_of: Any, metadata_class: type, /
    ) -> Self: ...
    def __call__(self, *args: Any) -> Callable[[bytes], object]: ...
    def __get__(self, context: Any, owner: type | None = None) -> Any: ...

class Stream:
    _current: ContextVar[Any]
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

class Metadata:
    request_id: Any
    route: Any
    path: Any
    error: Any
    trace: Any
    user: Any
    known_attributes: Any
    attributes: Any
    names: Any
    dispatch: Any
    written_bytes: int
    has_more: bool
    is_complete: bool
    is_excluded: bool
    is_over: bool
    def take_over(self, said: Metadata, /) -> None: ...

class FastMiddleware:
    def __call__(self, environ: WSGIEnvironment, start_response: WSGIStartResponse) -> Iterable[bytes]: ...
    def _enable_fast_path(self, **parts: Any) -> None: ...
