"""``chest partition``: a table that has a partition for each day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import click

from chest.cli.chest_choice import readable_chest, service_option
from chest.cli.conditions import typed
from chest.errors import SettingsError
from chest.query.typed import moment_ns
from chest.record.messages import printable

_MOST_DAYS: Final = 3660


@click.command()
@click.argument("url", required=False)
@click.option(
    "--days", type=click.IntRange(0, _MOST_DAYS), default=14, show_default=True, help="So many days from tomorrow on."
)
@click.option(
    "--since", callback=typed(moment_ns), metavar="30d|DATE", help="Also from this day on, for records that are older."
)
@click.option("--apply", "is_applied", is_flag=True, help="Run the SQL; without it, it is shown.")
@service_option
def partition(url: str | None, days: int, since: int | None, is_applied: bool, service: str | None) -> None:
    """Show or run the SQL for a PostgreSQL table with a partition for each day (UTC), so that old days are dropped at once.

    A missing table is made, with partitions for today and the next days. If the table is there, the days that it lacks are
    added; if none is lacking, nothing happens. So it can be run each day. Records that no day takes go to a default partition, and a day
    that is made later takes its records out of it. A table without partitions stays as it is: move its records with chest transfer.

    \b
    Examples:
      chest partition postgresql://owner@db/shop
      chest partition postgresql://owner@db/shop --apply
      chest partition 'postgresql://owner@db/shop?table=days' --since 30d --apply
    """
    today = datetime.now(UTC).date()
    first = today if since is None else min(today, datetime.fromtimestamp(since / 1e9, UTC).date())
    last = today + timedelta(days=days)
    if (last - first).days > _MOST_DAYS:
        raise click.BadParameter(f"more than {_MOST_DAYS} days", param_hint="--since")
    wanted = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    with readable_chest(url, service, only_reads=False) as chest:
        partitions = chest.partitions()
        if partitions is None:
            raise SettingsError(
                f"{chest.name} has no partitions to make: PostgreSQL can have them, and ClickHouse makes its own."
            )
        transactions = partitions.make(wanted) if is_applied else partitions.missing(wanted)
        _tell(chest.name, transactions, last, is_applied=is_applied)


def _tell(name: str, transactions: Sequence[Sequence[str]], last: date, *, is_applied: bool) -> None:
    for statements in transactions:
        for statement in ("BEGIN", *statements, "COMMIT"):
            click.echo(f"{statement};")
    made = "Made" if is_applied else "Not run: add --apply, or pass it to psql"
    done = made if transactions else "Nothing is missing"
    click.echo(f"{done}: {printable(name)}, partitions up to {last} (UTC).", err=True)
