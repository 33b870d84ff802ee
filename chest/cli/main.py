"""``chest``: finds the command that was typed, and shows every error of Chest in one line."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Final

import click

from chest import __version__
from chest.errors import ChestError, SettingsError
from chest.native import IS_NATIVE
from chest.record.messages import printable
from chest.settings.option import nearest

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "chest.demo.command:demo",
    "tail": "chest.cli.tail:tail",
    "find": "chest.cli.find:find",
    "show": "chest.cli.find:show",
    "top": "chest.cli.asking.top:top",
    "compare": "chest.cli.asking.compare:compare",
    "values": "chest.cli.asking.values:values",
    "over-time": "chest.cli.asking.over_time:over_time",
    "heatmap": "chest.cli.asking.heatmap:heatmap",
    "watch": "chest.cli.asking.watch:watch",
    "sql": "chest.cli.asking.sql:sql",
    "ui": "chest.cli.ui:ui",
    "settings": "chest.cli.settings:settings",
    "check": "chest.cli.check:check",
    "status": "chest.cli.status:status",
    "transfer": "chest.cli.transfer:transfer",
    "recover": "chest.cli.recover:recover",
    "drain": "chest.cli.drain:drain",
    "dead": "chest.cli.dead:dead",
    "forget": "chest.cli.forget:forget",
}
"""The module of each command: a command loads no other, so that ``chest tail`` starts at once."""

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
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

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


def main() -> None:
    """The entry point ``chest``."""
    commands(prog_name="chest")
