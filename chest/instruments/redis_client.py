"""``instrument_redis``: how many commands a request has sent to Redis, and how long they took."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from chest.request.closed_contexts import current

REDIS: Final = "redis"


def instrument_redis(client: Any) -> None:
    """Have each command of this client add to ``redis_count`` and ``redis_ms``; a pipeline is one of them.

    redis-py tells no event of a command, so the methods that all commands go through are this client's own from now on.

    :param client: a ``redis.Redis``, which is not asynchronous. Told twice, it counts once.
    """
    if getattr(client.execute_command, "__wrapped__", None) is None:
        client.execute_command = _timed(client.execute_command)
        client.pipeline = _counting_pipelines(client.pipeline)


def _timed(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def timed(*args: Any, **options: Any) -> Any:
        with current().timer(REDIS):
            return method(*args, **options)

    return timed


def _counting_pipelines(pipeline: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(pipeline)
    def counting(*args: Any, **options: Any) -> Any:
        made = pipeline(*args, **options)
        made.execute = _timed(made.execute)
        return made

    return counting
