"""What a person types to say which records are meant: the options of ``chest find``, and its arguments, which are a filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import click

from chest.chests.asking.conditions import Condition, Name
from chest.chests.contract import Query
from chest.cli.chest_choice import resolve_settings
from chest.errors import FilterError
from chest.query.language import parse
from chest.query.meaning import OPERATORS
from chest.request.client.user import HASHED, PLAIN, USER, UserIds

_T = TypeVar("_T")

user_option = click.option("--user", metavar="ID", help="Of this user, hashed first if user_ids=hashed.")


def typed(parse: Callable[[str], _T]) -> Callable[[click.Context, click.Parameter, str | None], _T | None]:
    """A callback for an option that is read by ``parse``, whose ``ValueError`` says the expected form."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> _T | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None

    return callback


def filter_of(arguments: Sequence[str]) -> Query:
    """The query of a command's arguments, each of them one or more conditions.

    :raises click.UsageError: an invalid condition, and what to write.
    """
    try:
        return parse(arguments)
    except FilterError as error:
        if not any(operator in error.text for operator in OPERATORS):
            raise click.UsageError(f"{error.text!r} is neither name=value nor the URL of a chest") from None
        raise click.UsageError(str(error)) from None


def of_user(query: Query, user_id: str | None, service: str | None) -> Query:
    """The query, for requests of this user only. The id is hashed as the records' are, if the settings have a key.

    :param user_id: as the application knows it; None: of any user.
    """
    if user_id is None:
        return query
    settings = resolve_settings(service)
    way = HASHED if settings.user_ids == HASHED else PLAIN
    kept = UserIds(way, settings.user_ids_key).kept(user_id)
    return replace(query, conditions=(*query.conditions, Condition(Name("attribute", USER), "equals", (kept,))))
