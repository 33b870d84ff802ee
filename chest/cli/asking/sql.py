"""``chest sql``: the table behind a SQL chest, queries to start with, and the store's own shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

import click

from chest.chests.sql.columns import INTEGER_COLUMNS, JSON_COLUMNS, STORED_COLUMNS
from chest.chests.sql.shell import shell_of, sql_target_of
from chest.chests.sql.sqlite.target import SQLiteTarget
from chest.cli import record_text
from chest.cli.chest_choice import label_of, resolve_chests, service_option
from chest.errors import SettingsError


class _Words(NamedTuple):
    """What each database says in its own way."""

    now: str
    """Unix time in seconds, a whole number."""
    minute: str
    variable: str


_WORDS: Final[Mapping[str, _Words]] = {
    "sqlite": _Words(
        "CAST(strftime('%s', 'now') AS INTEGER)",
        "strftime('%Y-%m-%d %H:%M', time_ns / 1000000000, 'unixepoch')",
        "json_extract(variables, '$.user_id')",
    ),
    "postgresql": _Words(
        "CAST(extract(epoch FROM now()) AS bigint)",
        "date_trunc('minute', to_timestamp(time_ns / 1000000000))",
        "variables ->> 'user_id'",
    ),
    "mysql": _Words(
        "UNIX_TIMESTAMP()",
        "FROM_UNIXTIME(time_ns DIV 1000000000, '%Y-%m-%d %H:%i')",
        "JSON_UNQUOTE(JSON_EXTRACT(variables, '$.user_id'))",
    ),
}
_FAILED: Final = "SUM(CASE WHEN outcome = 'error' THEN 1 ELSE 0 END)"


@click.command()
@click.argument("url", required=False)
@click.option("--shell/--no-shell", default=True, help="On a terminal, open the store's shell below (the default).")
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object; opens no shell.")
@service_option
def sql(url: str | None, shell: bool, as_json: bool, service: str | None) -> None:
    """Show the columns of a SQL chest's table and five queries, and open the store's own shell, which only reads.

    The shell is sqlite3, psql, mariadb or mysql, if it is installed. It connects as the URL says, and checks a certificate if the
    chest does. It opens on a terminal only; in a pipe the command shows how to open it.

    \b
    Examples:
      chest sql
      chest sql chest.sqlite3 --no-shell
      chest sql postgresql://shop@db/shop
    """
    meant = resolve_chests(url, service, only_reads=True)[0]
    target = sql_target_of(meant) if isinstance(meant, str) else None
    if target is None:
        raise SettingsError(
            f"{label_of(meant)} is not a SQL chest; chest top, chest compare and chest values work with every chest"
        )
    arguments, environment = shell_of(target)
    table, backend = target.table, "sqlite" if isinstance(target, SQLiteTarget) else target.backend
    if as_json:
        columns = [{"name": name, "type": _type(name)} for name in ("seq", *STORED_COLUMNS)]
        plain = {"table": table, "columns": columns, "queries": queries(backend, table), "shell": arguments}
        click.echo(record_text.json_text(plain))
        return
    click.echo(f"{click.style(table, bold=True)}: {', '.join(map(_column, ('seq', *STORED_COLUMNS)))}")
    for title, query in queries(backend, table).items():
        click.echo(f"\n{click.style(f'-- {title}', dim=True)}\n{query};")
    click.echo(f"\nThe store's shell: {shlex.join(arguments)}")
    if shell and sys.stdin.isatty() and sys.stdout.isatty() and shutil.which(arguments[0]):
        subprocess.run(arguments, env=os.environ | environment, check=False)


def queries(backend: str, table: str) -> dict[str, str]:
    """Five queries to start with, by what they show."""
    words = _WORDS[backend]
    last_hour = f"WHERE time_ns >= ({words.now} - 3600) * 1000000000"
    parts = {
        "the last requests": (
            "request_id, status, duration_ns / 1000000.0 AS ms, method, path",
            "ORDER BY seq DESC LIMIT 10",
        ),
        "routes by the time that they took in the last hour": (
            f"route, COUNT(*) AS requests, SUM(duration_ns) / 1000000000.0 AS seconds, {_FAILED} AS errors",
            f"{last_hour} GROUP BY route ORDER BY 3 DESC LIMIT 20",
        ),
        "requests a minute": (
            f"{words.minute} AS minute, COUNT(*) AS requests, {_FAILED} AS errors",
            f"{last_hour} GROUP BY 1 ORDER BY 1",
        ),
        "the slowest requests of the last hour, with their variables": (
            "request_id, route, duration_ns / 1000000.0 AS ms, variables",
            f"{last_hour} ORDER BY duration_ns DESC LIMIT 10",
        ),
        "users by errors; user_id is a variable": (
            f"{words.variable} AS user_id, COUNT(*) AS errors",
            "WHERE outcome = 'error' GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
        ),
    }
    return {title: f"SELECT {what}\n  FROM {table} {which}" for title, (what, which) in parts.items()}  # noqa: S608 - see table_of


def _column(name: str) -> str:
    kind = _type(name)
    return name if kind == "text" else f"{name} ({kind})"


def _type(name: str) -> str:
    if name in JSON_COLUMNS or name == "stored_at":
        return "time" if name == "stored_at" else "JSON"
    return "integer" if name == "seq" or name in INTEGER_COLUMNS else "text"
