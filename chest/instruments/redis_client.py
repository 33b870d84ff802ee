"""``instrument_redis``: how many commands a request has sent to Redis, and how long they took."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final

from chest.request.closed_contexts import current

REDIS: Final = "redis"


def instrument_redis(client: Any) -> None:
    """Have each command of this client add to ``redis_count`` and ``redis_ms``; a pipeline is one of them.

    redis-py tells no event of a command, so the methods that all commands go through are this client's own from now on.

    :param client: a ``Redis`` or ``RedisCluster`` of redis-py, also one of ``redis.asyncio``, or a ``FlaskRedis`` that is bound to its
        application. Told twice, it counts once.
    :raises TypeError: it has no method ``execute_command``.
    """
    # FlaskRedis hands calls on to the client that it keeps.
    client = vars(client).get("_redis_client") or client
    if not callable(getattr(type(client), "execute_command", None)):
        raise TypeError(f"instrument_redis takes a client of redis-py, not {type(client).__name__}")
    if getattr(client.execute_command, "__wrapped__", None) is None:
        client.execute_command = _timed(client.execute_command)
        client.pipeline = _counting_pipelines(client.pipeline)


def _timed(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def timed(*args: Any, **options: Any) -> Any:
        with current().timer(REDIS):
            return method(*args, **options)

    @wraps(method)
    async def timed_later(*args: Any, **options: Any) -> Any:
        with current().timer(REDIS):
            return await method(*args, **options)

    return timed_later if iscoroutinefunction(method) else timed


def _counting_pipelines(pipeline: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(pipeline)
    def counting(*args: Any, **options: Any) -> Any:
        made = pipeline(*args, **options)
        made.execute = _timed(made.execute)
        return made

    return counting
