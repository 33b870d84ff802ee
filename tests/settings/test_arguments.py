"""The types that editors show for options agree with the one table of options, and with the parameters they are handed to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from flask_chest.app_settings import G_OPTION, FlaskOptions

from chest.settings.arguments import (
    Options,
    RecorderOptions,
    RequestOptions,
    ScheduledTransferEntry,
    ScheduledTransferOptions,
)
from chest.settings.option import Option
from chest.settings.settings import options
from chest.transfer import Retention, ScheduledTask, Transfer
from chest.transfer.plan import KEYS
from chest.transfer.scheduled_transfer import ScheduledRetentionOptions, TransferScheduleOptions


@pytest.mark.parametrize(("side", "types"), [("recorder", RecorderOptions), ("request", RequestOptions)])
def test_each_side_has_the_types_of_its_options(side: str, types: type) -> None:
    expected = {option.name: option.kind.argument | None for option in options() if option.side == side}
    expected.pop("chests", None)  # a parameter of its own
    assert get_type_hints(types) == expected


def test_the_options_of_both_sides_are_those_of_each() -> None:
    assert get_type_hints(Options) == get_type_hints(RecorderOptions) | get_type_hints(RequestOptions)


def test_flask_has_one_option_more() -> None:
    assert get_type_hints(FlaskOptions) == get_type_hints(Options) | {"g": G_OPTION.kind.argument | None}


def test_a_type_that_the_table_does_not_have_is_noticed() -> None:
    changed = Option("sample", 1.0, "", "", "request", options()[0].kind, "CHEST_SAMPLE")
    assert get_type_hints(RequestOptions)["sample"] != changed.kind.argument | None


def test_an_entry_of_scheduled_transfers_has_the_keys_that_are_understood() -> None:
    assert set(get_type_hints(ScheduledTransferEntry)) == set(KEYS)
    assert set(get_type_hints(ScheduledTransferOptions)) == set(KEYS) - {"to", "from"}


@pytest.mark.parametrize(
    ("types", "takers"),
    [(TransferScheduleOptions, (Transfer, ScheduledTask)), (ScheduledRetentionOptions, (Retention, ScheduledTask))],
)
def test_a_scheduled_task_has_the_types_of_the_parameters_it_fills(
    types: type, takers: tuple[Callable[..., Any], ...]
) -> None:
    taken = {
        name: parameter.annotation
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {name: hint.__forward_arg__ for name, hint in types.__annotations__.items()} == taken
