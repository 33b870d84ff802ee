"""What the demonstration shows at the end: the comparison in words, one record, two questions answered, what to try next."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from chest.cli.demo.balance import Balance
from chest.cli.main import commands
from chest.record.record import Record

_NAMED_IDS: Final = 5
ITEM_REQUESTS: Final = "route=/items/<int:item_id>"
"""One item of the shop is slow; exports are as slow, as they are long."""


def print_balance(console: Console, balance: Balance) -> None:
    """Whether the store holds what the clients saw, and what else it holds."""
    unanswered = sum(balance.unanswered.values())
    _say(console, f"Clients: {balance.answered + unanswered} requests, {balance.answered} answered, {unanswered} not")
    _say(console, _listed(balance.unanswered))
    _say(
        console,
        f"Store:   {balance.stored} records, {sum(balance.unseen.values())} of them of requests that were not answered",
    )
    _say(console, _listed(balance.unseen))
    _say(console, _verdict(balance), style="bold green" if balance.is_complete else "bold red")


def print_record(console: Console, record: Record) -> None:
    """One record, whole."""
    _say(console, "\nOne record:")
    console.print_json(json.dumps(record._asdict()))


def print_answers(console: Console, store_url: str, since_ns: int | None) -> None:
    """Two questions to the store, by the commands that answer them: what costs the most time, and what the slow requests share.

    :param since_ns: of requests that began since then; None: of all.
    """
    since = (
        [] if since_ns is None else ["--since", f"{datetime.fromtimestamp(since_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"]
    )
    for question in (["top", store_url], ["compare", store_url, "--slower-than", "50ms", "--among", ITEM_REQUESTS]):
        _say(console, f"\n$ {shlex.quote(typed_command())} {shlex.join([*question, *since])}")
        commands.main([*question, *since], prog_name="chest", standalone_mode=False)


def print_next_commands(console: Console, store_url: str, record: Record) -> None:
    """Commands that look at the same store, to be copied; the last one opens the page."""
    url, user_id, chest = shlex.quote(store_url), record.variables.get("user_id"), shlex.quote(typed_command())
    _say(console, "\nTry next:")
    _say(console, f"  {chest} find {url} user_id={shlex.quote(str(user_id))}")
    _say(console, f"  {chest} tail {url}")
    _say(console, f"  {chest} show {url} {shlex.quote(record.request_id)}")
    _say(console, "\nThe same in a browser, which --ui opens at once:")
    _say(console, f"  {chest} ui {url}")


def typed_command() -> str:
    """What to type for ``chest`` here: its name, or its path if the shell would not find this one."""
    ours = Path(sys.executable).with_name("chest")
    found = shutil.which("chest")
    if not ours.exists() or (found is not None and Path(found).resolve() == ours.resolve()):
        return "chest"
    here = Path.cwd()
    return str(ours.relative_to(here)) if ours.is_relative_to(here) else str(ours)


def _verdict(balance: Balance) -> str:
    if balance.is_complete:
        return f"Every one of the {balance.answered} answered requests is in the store exactly once."
    if not balance.answered:
        return "No request was answered, so nothing was shown."
    faults = []
    if balance.missing:
        faults.append(f"lacks {len(balance.missing)} ({_first(balance.missing)})")
    if balance.doubled:
        faults.append(f"holds {len(balance.doubled)} more than once ({_first(balance.doubled)})")
    return f"Of the {balance.answered} answered requests, the store {' and '.join(faults)}."


def _first(request_ids: Sequence[str]) -> str:
    more = len(request_ids) - _NAMED_IDS
    return ", ".join(request_ids[:_NAMED_IDS]) + (f" and {more} more" if more > 0 else "")


def _listed(counts: Counter[str]) -> str:
    return "         " + ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _say(console: Console, text: str, style: str | None = None) -> None:
    if text.strip():
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
