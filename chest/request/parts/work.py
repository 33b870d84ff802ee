"""``Work``: a piece of work that is no request, such as a job, a command or an event, and that leaves a record as one does."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

from chest import native
from chest.errors import SettingsError
from chest.record.record import Outcome
from chest.record.row import latin1_path
from chest.record.text import storable_text
from chest.request.closed_contexts import UnrecordedContext
from chest.request.completion import Process, RequestCompletion
from chest.request.context import RequestContext, current_context
from chest.request.fields import ROUTE_CHARACTERS, as_text, class_name
from chest.request.record_emitter import RecordEmitter
from chest.request.request_id import generated
from chest.request.selection import Selection

P = ParamSpec("P")
R = TypeVar("R")

COMMAND: Final = "COMMAND"
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,31}")


class WorkContext(RequestContext):
    """The context of a piece of work while it is done."""

    __slots__ = ()

    @property
    def is_being_recorded(self) -> bool:
        return True

    def __bool__(self) -> bool:
        """As a request's: there is one, however few variables it has."""
        return True


class Works:
    """Makes the records of the work of one application.

    :param offer: takes a row as a line of JSON; must not wait.
    :param selection: what of the work is kept.
    :param process: the ids, the counters and the readiness of this process.
    :param request_id_generator: called for the id of work that has none and is done outside a request.
    """

    def __init__(
        self,
        offer: Callable[[bytes], object],
        selection: Selection,
        process: Process,
        request_id_generator: Callable[[], object] | None = None,
    ) -> None:
        self._emitter = RecordEmitter(offer, selection, process)
        self._process = process
        self._generator = request_id_generator

    def begin(self, kind: str, name: str, request_id: object) -> RequestCompletion:
        """Note work that begins now. Never waits and never raises."""
        process = self._process
        path = latin1_path(name)
        if not process.fork_guard[0]:
            process.prepare()
        known_id = self._emitter.clean_id(request_id) if request_id else self._default_id()
        context = WorkContext()
        context._request_id = known_id
        context._metadata = context._scheme = context._status = context._in_flight = None
        context._server_start_response = context._server_write = None
        context.route = name
        tail, time_ns, in_flight = self._emitter.new_tail(), time.time_ns(), process.in_flight
        if in_flight is not None:
            context._in_flight = in_flight.begin(tail, known_id, time_ns, kind, self._emitter.clean_path(path), None)
        begin_ns = native.perf_counter_ns()
        completion = RequestCompletion(self._emitter, context, tail, known_id, kind, path, time_ns, begin_ns)
        completion.is_request = False
        return completion

    def _default_id(self) -> str:
        """That of the request, or of the work, that this is a part of; else a new one."""
        outer = current_context.get()
        if outer is not None and outer.request_id:
            return self._emitter.clean_id(outer.request_id)
        made = None if self._generator is None else generated(self._generator, self._process.counters)
        return self._process.request_ids.new() if made is None else self._emitter.clean_id(made)


class Work:
    """What ``recorder.work(...)`` gives: a context manager, and a decorator of functions and coroutine functions.

    :param works: gives what makes the record, when the work begins; None if nothing is recorded.
    :param name: what is done; its record's ``path`` and ``route``.
    :param request_id: of the request that asked for it.
    :param kind: its record's ``method``, in capitals.
    :raises SettingsError: an argument is invalid.
    """

    def __init__(self, works: Callable[[], Works | None], name: str, request_id: object, kind: str) -> None:
        if not isinstance(name, str) or not name:
            raise SettingsError(f"work(...) takes the name of what is done, a text, not {name!r}")
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise SettingsError(f"work(..., kind=...) is a word of at most 32 letters, such as 'job', not {kind!r}")
        self._works = works
        self._name = storable_text(name, ROUTE_CHARACTERS)
        self._request_id = request_id
        self._kind = kind.upper()
        self._under_way: list[tuple[RequestCompletion | None, RequestContext | None]] = []

    def __enter__(self) -> RequestContext:
        works = self._works()
        completion = None if works is None else works.begin(self._kind, self._name, self._request_id)
        context = UnrecordedContext() if completion is None or completion.context is None else completion.context
        self._under_way.append((completion, current_context.get()))
        current_context.set(context)
        return context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        completion, previous = self._under_way.pop()
        current_context.set(previous)
        if completion is not None:
            self.finish(completion, error)

    def finish(self, completion: RequestCompletion, error: BaseException | None) -> None:
        """The work is done, or ended in this exception."""
        if error is None:
            completion.finish(Outcome.OK)
        elif isinstance(error, GeneratorExit):  # it was begun in a generator that was given up
            completion.finish(Outcome.ABANDONED)
        elif self._kind == COMMAND and _exit_code_of(error) is not _NO_EXIT:
            is_ok = not _exit_code_of(error)
            if not is_ok:
                completion.failed(error, is_answered=True)
                completion.outcome = Outcome.ERROR
            completion.finish(Outcome.OK)
        else:
            completion.failed(error, is_answered=True)
            completion.finish(None)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, each call of which is such a piece of work.

        :raises SettingsError: it is a class, or a generator function, whose work is not done when it returns.
        """
        if not callable(function) or isinstance(function, type):
            raise SettingsError(f"work(...) decorates a function, not {as_text(function)}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SettingsError(
                f"work(...) decorates a function whose work is done when it returns, and {function.__qualname__} is a"
                " generator function: write `with recorder.work(...):` in its body"
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", asynchronous)

        @wraps(function)
        def synchronous(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return synchronous

    def _again(self) -> Work:
        return Work(self._works, self._name, self._request_id, self._kind)


class RecordsWork(Protocol):
    """A recorder, of the core or of an adapter."""

    def work(self, name: str, *, request_id: object = None, kind: str = "work") -> Work:
        """See :meth:`chest.Recorder.work`."""


_NO_EXIT: Final = object()


def _exit_code_of(error: BaseException) -> object:
    """The exit code that a command ended with by an exception of Python's or click's."""
    if isinstance(error, SystemExit):
        return error.code
    return getattr(error, "exit_code", _NO_EXIT) if class_name(error) == "Exit" else _NO_EXIT
