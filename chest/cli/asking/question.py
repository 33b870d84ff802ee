"""``CommandQuestion``: the question in the arguments and options that all asking commands share; ``question_options`` passes it to a command."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final

import click

from chest.chests.contract import Query, ReadableChest
from chest.cli.asking.table import print_rows
from chest.cli.chest_choice import readable_chest, service_option, split_url
from chest.cli.conditions import filter_of, since_option, until_option
from chest.query.answer import Answer
from chest.query.language import narrowed
from chest.query.question import BUDGET_SECONDS

_PROGRESS_SECONDS: Final = 1.0
_PROGRESS_SECONDS_AT_A_TERMINAL: Final = 0.25
"""A person sees something within 0.4 s, the start of the command included."""

_MOST_SECONDS: Final = 1_000_000
"""What every store can be told; eleven days are as good as no end."""

seconds_option = click.option(
    "--seconds", type=click.FloatRange(min=0, max=_MOST_SECONDS, min_open=True), default=BUDGET_SECONDS, show_default=True,
    help="Budget. If it ends first, the answer rests on a part of the records, and says so.",
)  # fmt: skip
_OPTIONS: Final = (
    since_option,
    until_option,
    seconds_option,
    click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object on one line."),
    click.option("--csv", "as_csv", is_flag=True, help="The rows as CSV."),
    service_option,
)  # fmt: skip


@dataclass(frozen=True)
class CommandQuestion:
    """What is asked of which chest, how long the answer may take, and in which format it is shown.

    :param url: of the chest, if one was given.
    :param arguments: the other arguments: conditions, unless the command takes more.
    :param seconds: the budget.
    """

    url: str | None
    arguments: Sequence[str]
    since_ns: int | None
    until_ns: int | None
    service: str | None
    seconds: float
    as_json: bool
    as_csv: bool

    @property
    def is_for_program(self) -> bool:
        """True if the answer is shown as JSON or CSV."""
        return self.as_json or self.as_csv

    def query(self, conditions: Sequence[str] | None = None) -> Query:
        """The query of the filter and the options.

        :param conditions: the filter; None: all arguments.
        :raises click.UsageError: an invalid condition.
        """
        conditions = self.arguments if conditions is None else conditions
        return query_of(conditions, self.since_ns, self.until_ns, self.service)

    def without_since(self) -> CommandQuestion:
        """The same question about all time until its end."""
        return replace(self, since_ns=None)

    @contextmanager
    def chest(self) -> Iterator[ReadableChest]:
        """The chest, open; with the :func:`progress_line`."""
        with readable_chest(self.url, self.service) as chest, progress_line(chest.name, self.seconds):
            yield chest

    def print_rows(self, answer: Answer, **more: Any) -> None:
        """The answer for a program; see :func:`chest.cli.asking.table.print_rows`."""
        print_rows(answer, as_csv=self.as_csv, **more)


@contextmanager
def progress_line(name: str, seconds: float, faster: str = "--since") -> Iterator[None]:
    """If the block takes over a second, at a terminal a quarter of one, a line on standard error says what the command waits for.

    :param name: of the chest.
    :param seconds: the budget.
    :param faster: what makes the answer come sooner; empty: nothing.
    """
    hint = f"; {faster} makes it faster" if faster else ""
    after = _PROGRESS_SECONDS_AT_A_TERMINAL if sys.stderr.isatty() else _PROGRESS_SECONDS
    line = threading.Timer(after, click.echo, (f"chest: asking {name}, for up to {seconds:g} s{hint}",), {"err": True})
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()


def question_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command that asks has. The command gets them as ``question``."""

    @wraps(command)
    def with_question(
        *args: Any,
        arguments: Sequence[str],
        since: int | None,
        until: int | None,
        service: str | None,
        seconds: float,
        as_json: bool,
        as_csv: bool,
        **others: Any,
    ) -> Any:
        url, rest = split_url(arguments)
        question = CommandQuestion(url, rest, since, until, service, seconds, as_json, as_csv)
        return command(*args, question=question, **others)

    made: Callable[..., Any] = with_question
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def query_of(conditions: Sequence[str], since_ns: int | None, until_ns: int | None, service: str | None) -> Query:
    """The query of a command's filter and options.

    :raises click.UsageError: an invalid condition.
    """
    return narrowed(Query(service=service, since_ns=since_ns, until_ns=until_ns), filter_of(conditions))
