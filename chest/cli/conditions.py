"""Which records a user asks for: the options of ``chest find``, and its arguments, which are a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final, TypeVar

import click

from chest.chests.asking.conditions import Condition, Name
from chest.chests.contract import Query
from chest.cli.chest_choice import resolve_settings, split_url
from chest.errors import FilterError
from chest.query.language import narrowed, parse
from chest.query.meaning import OPERATORS
from chest.query.names import near_field
from chest.query.typed import duration_ns, moment_ns, statuses
from chest.query.typed import outcome as known_outcome
from chest.record.messages import printable

_T = TypeVar("_T")


def perhaps_meant(names: Iterable[Name]) -> str:
    """What to add to an answer with nothing in it: which field was perhaps meant by the name of a variable; else an empty text."""
    found = {name.name: near for name in names if name.place == "variable" and (near := near_field(name.name))}
    return "".join(f"; {printable(name)} is taken as a variable: did you mean {near}?" for name, near in found.items())


user_option = click.option("--user", metavar="ID", help="Of this user, hashed first if user_ids=hashed.")


def typed(parse: Callable[[str], _T]) -> Callable[[click.Context, click.Parameter, str | None], _T | None]:
    """A callback for an option that is read by ``parse``, whose ``ValueError`` says the expected form."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> _T | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None

    return callback


since_option = click.option(
    "--since", callback=typed(moment_ns), metavar="2h|DATE", help="Began this long ago at most, or since then (UTC)."
)
until_option = click.option("--until", callback=typed(moment_ns), metavar="2h|DATE", help="Began before that.")


def filter_of(arguments: Sequence[str]) -> Query:
    """The query of a command's arguments, each of them one or more conditions.

    :raises click.UsageError: an invalid condition, and what to write.
    """
    try:
        return parse(arguments)
    except FilterError as error:
        if not any(operator in error.text for operator in OPERATORS):
            raise click.UsageError(
                f"{error.text!r} is neither name=value nor the URL of a chest, and no file has this name"
            ) from None
        raise click.UsageError(str(error)) from None


def of_user(query: Query, user_id: str | None, service: str | None) -> Query:
    """The query, for requests of this user only. The id is hashed as the records' are, if the settings have a key.

    :param user_id: as the application knows it; None: of any user.
    """
    if user_id is None:
        return query
    from chest.request.client.user import HASHED, PLAIN, USER, UserIds  # with what records requests behind it

    settings = resolve_settings(service)
    way = HASHED if settings.user_ids == HASHED else PLAIN
    kept = UserIds(way, settings.user_ids_key).kept(user_id)
    return replace(query, conditions=(*query.conditions, Condition(Name("attribute", USER), "equals", (kept,))))


@dataclass(frozen=True)
class Selection:
    """Which records of which chest a command is about.

    :param url: of the chest, if one was given.
    """

    url: str | None
    service: str | None
    query: Query


_OPTIONS: Final = (
    click.argument("arguments", nargs=-1, metavar="[URL] [FILTER]..."),
    click.option("--route", help="This route (the template)."),
    click.option("--status", callback=typed(statuses), metavar="404|5xx|500-599", help="A status in this range."),
    click.option("--outcome", callback=typed(known_outcome), metavar="NAME", help="How it ended: ok, error, client_disconnect, ..."),
    since_option,
    until_option,
    click.option("--slower-than", callback=typed(duration_ns), metavar="200ms", help="Took longer."),
    user_option,
)  # fmt: skip


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The filter and the options that say the same. The command gets them as ``selection``; it also has ``--service``."""

    @wraps(command)
    def with_selection(
        *args: Any,
        arguments: Sequence[str],
        route: str | None,
        status: range | None,
        outcome: str | None,
        since: int | None,
        until: int | None,
        slower_than: int | None,
        user: str | None,
        service: str | None,
        **others: Any,
    ) -> Any:
        url, conditions = split_url(arguments)
        options = Query(
            service=service,
            since_ns=since,
            until_ns=until,
            route=route,
            statuses=status,
            outcome=outcome,
            slower_than_ns=slower_than,
        )
        query = narrowed(of_user(options, user, service), filter_of(conditions))
        return command(*args, selection=Selection(url, service, query), **others)

    made: Callable[..., Any] = with_selection
    for option in reversed(_OPTIONS):
        made = option(made)
    return made
