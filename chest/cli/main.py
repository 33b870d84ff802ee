"""``chest``: finds the command that was typed, and shows every error of Chest in one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import click

from chest import __version__
from chest.errors import ChestError, SettingsError
from chest.native import IS_NATIVE
from chest.record.messages import printable
from chest.settings.option import nearest


class PlacedCommand(NamedTuple):
    """Where a command is, as ``module:name``, and its line in ``chest --help``."""

    place: str
    summary: str


COMMANDS: Final[Mapping[str, PlacedCommand]] = {
    "demo": PlacedCommand(
        "chest.cli.demo.command:demo", "Serve a shop, use it, kill a worker, show what the store has."
    ),
    "tail": PlacedCommand("chest.cli.tail:tail", "Show the records stored last, then what comes."),
    "find": PlacedCommand("chest.cli.find:find", "Find records by fields, variables and attributes."),
    "show": PlacedCommand("chest.cli.asking.show:show", "Show every record of a request, whole."),
    "top": PlacedCommand("chest.cli.asking.top:top", "Which routes, users, releases are slow, fail, cost most."),
    "compare": PlacedCommand(
        "chest.cli.asking.compare:compare", "What is different about the slow or failed requests."
    ),
    "values": PlacedCommand("chest.cli.asking.values:values", "The most frequent values of fields and variables."),
    "over-time": PlacedCommand("chest.cli.asking.over_time:over_time", "Requests, errors and durations over time."),
    "heatmap": PlacedCommand("chest.cli.asking.heatmap:heatmap", "Draw durations against time."),
    "new": PlacedCommand("chest.cli.asking.new:new", "Errors, releases and values that were first seen lately."),
    "watch": PlacedCommand("chest.cli.asking.watch:watch", "The table of top, again and again."),
    "sql": PlacedCommand("chest.cli.asking.sql:sql", "Columns and ready queries of a SQL chest, or its shell."),
    "index": PlacedCommand("chest.cli.upkeep.index:index", "Make a filter on one variable quick, by an index."),
    "partition": PlacedCommand(
        "chest.cli.upkeep.partition:partition", "Divide a PostgreSQL table by day, and add the next days."
    ),
    "ui": PlacedCommand("chest.cli.ui:ui", "Serve the page about a chest to you, on this machine."),
    "settings": PlacedCommand("chest.cli.settings:settings", "Show every option, its value and its origin."),
    "check": PlacedCommand("chest.cli.check:check", "Tell whether each chest could take records."),
    "status": PlacedCommand("chest.cli.status:status", "Show what waits for a store, and for how long."),
    "transfer": PlacedCommand("chest.cli.transfer:transfer", "Copy or move stored records from chest to chest."),
    "recover": PlacedCommand("chest.cli.recover:recover", "Deliver the records that dead processes left behind."),
    "drain": PlacedCommand("chest.cli.drain:drain", "Deliver for all processes that keep their rings here."),
    "dead": PlacedCommand("chest.cli.dead:dead", "Records that a chest refused for good."),
    "forget": PlacedCommand("chest.cli.forget:forget", "Remove the records of a person, or of a filter."),
}
"""A command loads no other, and ``chest --help`` none, so that each answers at once."""

_ASKING: Final = frozenset("tail find show top compare values over-time heatmap new watch".split())
_NICENESS: Final = 10
"""Of these commands: they may take a core for seconds, beside workers that answer requests."""

EXIT_TROUBLE: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


class ChestCommands(click.Group):
    """The commands of the table, in its order; loaded one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = nearest(args[0], COMMANDS)
            meant = f"did you mean {near!r}?" if near else "`chest --help` shows them."
            ctx.fail(f"No such command: {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ChestError as error:
            click.echo(f"chest: {printable(str(error))}", err=True)
            ctx.exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_TROUBLE)
        except BrokenPipeError:
            raise  # click ends quietly when the reader is gone, as with ``| head``
        except OSError as error:
            click.echo(f"chest: {printable(str(error))}", err=True)
            ctx.exit(EXIT_TROUBLE)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


_BUILT: Final = "with its compiled part" if IS_NATIVE else "without its compiled part"


@click.group(cls=ChestCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chest", message=f"%(prog)s, version %(version)s, {_BUILT}")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Look at the records of your requests, and manage them.

    If a command takes a URL and none is given, the chest is the first of CHEST_URLS, else chest.sqlite3 in
    CHEST_DIRECTORY, else that of --service or CHEST_SERVICE, else that of the only service there is.

    Completion: eval "$(_CHEST_COMPLETE=bash_source chest)" in ~/.bashrc, zsh_source in ~/.zshrc, or
    _CHEST_COMPLETE=fish_source chest | source for fish.

    \b
    Examples:
      chest find user_id=42 --since 1h
      chest top --since 1d
      chest compare --slower-than p95 --since 1d
      chest tail
      chest show 9f86d081
      chest ui
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def give_way() -> None:
    """Let this process have only what others leave of a core that they want too, if the system has such a thing."""
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICENESS)


def main() -> None:
    """The entry point ``chest``. Only here is a process the command's own, and not an application's or a test's."""
    if next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "") in _ASKING:
        give_way()
    commands(prog_name="chest")
