"""Runs checks and collects their messages; a check that fails is an error of that check, and stops no other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from chest.dockerflow.checks.messages import CheckMessage, Error, level_to_text
from chest.dockerflow.health import ERROR_CHECK_FAILED
from chest.record.mozlog import safe_repr

logger = logging.getLogger("dockerflow.checks.registry")

Check: TypeAlias = Callable[[], Any]
"""Returns messages, or an awaitable of them."""


@dataclass
class ChecksResults:
    """The results of several checks."""

    details: dict[str, dict[str, Any]]
    """``status``, ``level`` and ``messages`` (texts by id) of each check that returned messages."""
    statuses: dict[str, str]
    """The worst level of each check, in words."""
    level: int
    """The worst level of all; 0 if no check returned a message."""


def run_checks(checks: Iterable[tuple[str, Check]], silenced_check_ids: Iterable[str] | None = None) -> ChecksResults:
    """Run checks one after the other, in this thread, for as long as they take.

    :param checks: names and checks, such as ``get_checks().items()``.
    :param silenced_check_ids: ids of messages to leave out.
    """
    return results_of([(name, messages_of(name, check)) for name, check in checks], silenced_check_ids)


async def run_checks_async(
    checks: Iterable[tuple[str, Check]], silenced_check_ids: Iterable[str] | None = None
) -> ChecksResults:
    """As :func:`run_checks`, all at once: coroutines in this loop, functions in its executor."""
    names, running = [], []
    for name, check in checks:
        names.append(name)
        running.append(
            _awaited_messages(name, check)
            if inspect.iscoroutinefunction(check)
            else asyncio.get_running_loop().run_in_executor(None, messages_of, name, check)
        )
    said = await asyncio.gather(*running)
    return results_of(zip(names, said, strict=True), silenced_check_ids)


def messages_of(name: str, check: Check) -> list[CheckMessage]:
    """Run one check, an asynchronous one in a loop of its own; an exception becomes a message."""
    logger.debug("Called Dockerflow check %s", name)
    try:
        said = check()
        return checked_messages(asyncio.run(_awaited(said)) if inspect.isawaitable(said) else said)
    except Exception as error:  # noqa: BLE001 - of the check, whatever it is
        return [failure(name, error)]


def checked_messages(said: Any) -> list[CheckMessage]:
    """The messages that a check returned.

    :raises TypeError: it returned something else.
    """
    messages = list(said) if isinstance(said, (list, tuple, set, frozenset)) or inspect.isgenerator(said) else [said]
    if not all(isinstance(message, CheckMessage) for message in messages):
        raise TypeError(
            f"a check returns a list of messages, empty when all is well; this one returned {safe_repr(said)}"
        )
    return messages


def failure(name: str, error: BaseException) -> CheckMessage:
    """The message of a check that failed; its exception goes only into the log, since it may hold secrets."""
    logger.error("chest: the Dockerflow check %s failed", name, exc_info=error)
    return Error(f"The check failed with {type(error).__name__}; the log says more.", id=ERROR_CHECK_FAILED)


def results_of(
    said: Iterable[tuple[str, Sequence[CheckMessage]]], silenced_check_ids: Iterable[str] | None = None
) -> ChecksResults:
    """Collect and log the messages of checks; silenced messages are logged too."""
    silenced = frozenset(silenced_check_ids or ())
    results = ChecksResults(details={}, statuses={}, level=0)
    for name, messages in said:
        for message in messages:
            logger.log(message.level, "%s: %s", message.id, message.msg)
        meant = [message for message in messages if message.id not in silenced]
        level = max((message.level for message in meant), default=0)
        results.statuses[name] = level_to_text(level)
        results.level = max(results.level, level)
        if level > 0:
            results.details[name] = {
                "status": level_to_text(level),
                "level": level,
                "messages": {message.id: message.msg for message in meant},
            }
    return results


async def _awaited_messages(name: str, check: Check) -> list[CheckMessage]:
    logger.debug("Called Dockerflow check %s", name)
    try:
        return checked_messages(await check())
    except Exception as error:  # noqa: BLE001 - of the check, whatever it is
        return [failure(name, error)]


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
