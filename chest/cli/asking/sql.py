"""``chest sql``: the table behind a SQL chest, queries to start with, and the store's own shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import click

from chest.chests.sql.columns import DEFAULT_TABLE, INTEGER_COLUMNS, JSON_COLUMNS, STORED_COLUMNS, table_of
from chest.chests.sql.sqlite.target import SQLiteTarget
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
@service_option
def sql(url: str | None, shell: bool, service: str | None) -> None:
    """Show the columns of a SQL chest's table and five queries, and open the store's own shell, which only reads.

    The shell is sqlite3, psql, mariadb or mysql, if it is installed. It opens on a terminal only; in a pipe the command shows how to open it.

    \b
    Examples:
      chest sql
      chest sql chest.sqlite3 --no-shell
      chest sql postgresql://shop@db/shop
    """
    meant = resolve_chests(url, service, only_reads=True)[0]
    scheme = meant.partition(":")[0].lower() if isinstance(meant, str) else ""
    scheme = {"mariadb": "mysql"}.get(scheme, scheme)
    if not isinstance(meant, str) or scheme not in _WORDS:
        raise SettingsError(
            f"{label_of(meant)} is not a SQL chest; chest top, chest compare and chest values work with every chest"
        )
    table = table_of(parse_qs(urlsplit(meant).query).get("table", [DEFAULT_TABLE])[0])
    click.echo(f"{click.style(table, bold=True)}: seq (integer), {', '.join(map(_column, STORED_COLUMNS))}")
    for title, query in queries(scheme, table).items():
        click.echo(f"\n{click.style(f'-- {title}', dim=True)}\n{query};")
    arguments, environment = shell_of(scheme, meant)
    click.echo(f"\nThe store's shell: {shlex.join(arguments)}")
    if shell and sys.stdin.isatty() and sys.stdout.isatty() and shutil.which(arguments[0]):
        subprocess.run(arguments, env=os.environ | environment, check=False)


def queries(scheme: str, table: str) -> dict[str, str]:
    """Five queries to start with, by what they show."""
    words = _WORDS[scheme]
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
    kind = " (JSON)" if name in JSON_COLUMNS else " (integer)" if name in INTEGER_COLUMNS else ""
    return f"{name}{kind}"


def shell_of(scheme: str, url: str) -> tuple[list[str], dict[str, str]]:
    """The command that opens the store's shell, and the environment that it needs: a password stands in no argument."""
    if scheme == "sqlite":
        return ["sqlite3", "-readonly", str(SQLiteTarget.of(url).path)], {}
    parts = urlsplit(url)
    where = {"-h": parts.hostname, "-p": parts.port, "-P": parts.port, "-U": parts.username, "-u": parts.username}
    given = {option: unquote(str(value)) for option, value in where.items() if value}
    database, password = unquote(parts.path.lstrip("/")), unquote(parts.password or "")
    options = ("-h", "-p", "-U") if scheme == "postgresql" else ("-h", "-P", "-u")
    place = [word for option in options if option in given for word in (option, given[option])]
    if scheme == "postgresql":
        secret = {"PGPASSWORD": password} if password else {}
        return ["psql", *place, database], {"PGOPTIONS": "-c default_transaction_read_only=on", **secret}
    tool = "mariadb" if shutil.which("mariadb") else "mysql"
    only_reads = "--init-command=SET SESSION TRANSACTION READ ONLY"
    return [tool, *place, only_reads, database], {"MYSQL_PWD": password} if password else {}
