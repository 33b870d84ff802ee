"""The checks that ``/__heartbeat__`` runs: one registry for the process, as in python-dockerflow."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, overload

from chest.dockerflow.checks.running import Check

logger = logging.getLogger("dockerflow.checks.registry")

_registered: dict[str, Check] = {}


@overload
def register(func: None = None, name: str | None = None) -> Callable[[Check], Check]: ...


@overload
def register(func: Check, name: str | None = None) -> Check: ...


def register(func: Check | None = None, name: str | None = None) -> Any:
    """Register a check for the heartbeat: ``@register``, ``@register()`` or ``@register(name="...")``.

    A check is called without arguments, in a thread of its own, and returns a list of messages, empty when all is well. It
    may be a coroutine function. Give it timeouts: one that hangs is reported, and its thread is left to itself.

    :param func: the check.
    :param name: its name in the heartbeat; None takes the function's. A second check of the same name replaces the first.
    """
    if func is None:
        return functools.partial(register, name=name)
    name = func.__name__ if name is None else name
    logger.debug("Register Dockerflow check %s", name)
    _registered[name] = func
    return func


def register_partial(func: Callable[..., Any], *args: Any, name: str | None = None) -> Check:
    """Register a check that takes arguments, such as ``register_partial(check_redis_connected, redis)``.

    :param args: the arguments of the check.
    :param name: as in :func:`register`.
    """
    return register(functools.wraps(func)(functools.partial(func, *args)), name=name)


def get_checks() -> dict[str, Check]:
    """The registered checks by name; the registry itself, not a copy."""
    return _registered


def clear_checks() -> None:
    """Forget all checks; for tests."""
    _registered.clear()
