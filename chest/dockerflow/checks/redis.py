"""``check_redis_connected``: whether Redis answers."""

from __future__ import annotations

from typing import Any

from chest.dockerflow import health
from chest.dockerflow.checks.messages import CheckMessage, Error


def check_redis_connected(client: Any) -> list[CheckMessage]:
    """An error message if Redis does not answer ``PING``.

    :param client: redis-py's client, or Flask-Redis's ``FlaskRedis``. Give it a ``socket_timeout``.
    """
    try:
        import redis
    except ImportError:
        return [Error("There is no Redis client: pip install redis", id=health.ERROR_MISSING_REDIS_CLIENT)]
    try:
        is_answered = client.ping()
    except redis.ConnectionError as error:
        return [Error(f"Could not connect to redis: {error}", id=health.ERROR_CANNOT_CONNECT_REDIS)]
    except redis.RedisError as error:
        return [Error(f'Redis error: "{error}"', id=health.ERROR_REDIS_EXCEPTION)]
    except (AttributeError, TypeError, ValueError) as error:
        # A FlaskRedis without its init_app, or an invalid URL or option.
        return [Error(f'Redis misconfigured: "{error}"', id=health.ERROR_MISCONFIGURED_REDIS)]
    return [] if is_answered else [Error("Redis ping failed", id=health.ERROR_REDIS_PING_FAILED)]
