"""``current()`` where a request leaves its thread: pools, copied contexts, event loops; and frameworks that do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import flask
import pytest

from chest import RequestContext, current
from chest.request.closed_contexts import NO_REQUEST
from tests import servers
from tests.protocol.exchange import Recorded, serve


def test_a_thread_of_a_pool_has_no_current_request_but_writes_into_the_one_it_was_handed() -> None:
    def work(context: RequestContext, number: int) -> bool:
        context[f"part{number}"] = threading.current_thread().name
        return current() is NO_REQUEST

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [repr(list(pool.map(work, [current()] * 3, range(3)))).encode()]

    recorded = Recorded(app)
    with ThreadPoolExecutor(2) as pool:
        assert serve(recorded).text == b"[True, True, True]"
    assert sorted(recorded.record.variables) == ["part0", "part1", "part2"]


def test_a_pool_thread_that_writes_late_changes_no_other_request_and_is_counted() -> None:
    go = threading.Event()
    late: list[Any] = []

    def work(context: RequestContext) -> None:
        assert go.wait(60)
        context["late"] = True

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        if not late:
            late.append(pool.submit(contextvars.copy_context().run, work, current()))
        return [b""]

    recorded = Recorded(app)
    with ThreadPoolExecutor(1) as pool:
        serve(recorded, "/first")
        go.set()
        late[0].result(10)
        serve(recorded, "/second")
    assert [record.variables for record in recorded.records] == [{}, {}]
    assert recorded.process.counters.get("late_writes") == 1


def test_a_task_of_an_event_loop_records_into_the_request_that_runs_it() -> None:
    async def part(number: int) -> None:
        await asyncio.sleep(0)
        current()[f"part{number}"] = number

    async def view() -> None:
        await asyncio.gather(*(part(number) for number in range(3)))

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        asyncio.run(view())
        return [b""]

    recorded = Recorded(app)
    serve(recorded)
    assert recorded.record.variables == {"part0": 0, "part1": 1, "part2": 2}
    assert current() is NO_REQUEST


def test_async_views_of_requests_at_the_same_time_keep_their_variables_apart() -> None:
    servers.needs("asgiref")
    application = flask.Flask(__name__)
    both = threading.Barrier(2, timeout=60)

    @application.get("/<name>")
    async def view(name: str) -> str:
        current()["before"] = name
        await asyncio.to_thread(both.wait)
        await asyncio.sleep(0)
        current()["after"] = name
        return name

    recorded = Recorded(application)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda path: serve(recorded, path).text, ("/a", "/b")))
    assert answers == [b"a", b"b"]
    assert sorted((record.path, record.variables) for record in recorded.records) == [
        ("/a", {"before": "a", "after": "a"}),
        ("/b", {"before": "b", "after": "b"}),
    ]


# -- hooks of frameworks are no source of truth ------------------------------------------------------------------------------

# Before Flask 3.1 a stream goes on with the view's own context, which ends with it.
_AT_THE_VIEWS_END = [] if version("flask").startswith(("2.", "3.0.")) else ["teardown NoneType"]


def _flask(hooks: list[str]) -> flask.Flask:
    application = flask.Flask(__name__)

    @application.after_request
    def after(response: flask.Response) -> flask.Response:
        hooks.append("after")
        return response

    @application.teardown_request
    def teardown(error: BaseException | None) -> None:
        hooks.append(f"teardown {type(error).__name__}")

    @application.get("/raises")
    def raises() -> str:
        raise LookupError("in the view")

    @application.get("/streams")
    def streams() -> flask.Response:
        @flask.stream_with_context
        def chunks() -> Iterator[str]:
            current()["streamed"] = True
            yield "x"
            raise LookupError("in the stream")

        return flask.Response(chunks())

    @application.get("/spawns")
    def spawns() -> str:
        thread = threading.Thread(target=flask.copy_current_request_context(lambda: None))
        thread.start()
        thread.join()
        return "spawned"

    return application


@pytest.mark.parametrize(
    ("path", "status", "error", "hooks"),
    [
        ("/raises", 500, "LookupError", ["teardown LookupError"]),  # after_request is skipped
        ("/streams", 200, "LookupError", ["after", *_AT_THE_VIEWS_END, "teardown LookupError"]),
        ("/spawns", 200, None, ["teardown NoneType", "after", "teardown NoneType"]),
    ],
)
def test_hooks_that_are_skipped_or_called_twice_leave_one_record(
    path: str, status: int, error: str | None, hooks: list[str]
) -> None:
    called: list[str] = []
    application = _flask(called)
    application.testing = True
    recorded = Recorded(application)
    serve(recorded, path)
    assert called == hooks
    assert (recorded.record.status, recorded.record.error) == (status, error)
