"""``question_options``: what every command that asks takes; ``asking``: the chest, with a line of progress if the answer takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from chest.chests.contract import Query, ReadableChest
from chest.cli.chest_choice import is_url, readable_chest, service_option
from chest.cli.conditions import filter_of, typed
from chest.query.language import narrowed
from chest.query.question import BUDGET_SECONDS
from chest.query.typed import moment_ns

_C = TypeVar("_C", bound=Callable[..., Any])
_PROGRESS_SECONDS: Final = 1.0

_OPTIONS: Final = (
    click.option("--since", callback=typed(moment_ns), metavar="2h|DATE", help="Began this long ago at most, or since then (UTC)."),
    click.option("--until", callback=typed(moment_ns), metavar="2h|DATE", help="Began before that."),
    click.option(
        "--seconds", type=click.FloatRange(min=0, min_open=True), default=BUDGET_SECONDS, show_default=True,
        help="Budget. If it ends first, the answer is an estimate and says so.",
    ),
    click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object on one line."),
    click.option("--csv", "as_csv", is_flag=True, help="The rows as CSV."),
    service_option,
)  # fmt: skip


def question_options(command: _C) -> _C:
    """The options that every command that asks has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def split(arguments: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The URL of the chest, if the first argument is one, and the other arguments."""
    return (arguments[0], arguments[1:]) if arguments and is_url(arguments[0]) else (None, arguments)


def query_of(conditions: Sequence[str], since: int | None, until: int | None, service: str | None) -> Query:
    """The query of a command's filter and options.

    :raises click.UsageError: an invalid condition.
    """
    return narrowed(Query(service=service, since_ns=since, until_ns=until), filter_of(conditions))


@contextmanager
def asking(url: str | None, service: str | None, seconds: float) -> Iterator[ReadableChest]:
    """The chest, open. If the answer takes over a second, a line on standard error says what the command waits for."""
    with readable_chest(url, service) as chest:
        text = f"chest: asking {chest.name}, for up to {seconds:g} s; --since makes it faster"
        line = threading.Timer(_PROGRESS_SECONDS, click.echo, (text,), {"err": True})
        line.daemon = True
        line.start()
        try:
            yield chest
        finally:
            line.cancel()
