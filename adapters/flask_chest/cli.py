"""``flask chest …``: the commands of ``chest`` that look, for the application that ``flask --app`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from chest.cli.main import ChestCommands
from flask_chest.app_settings import G_OPTION

if TYPE_CHECKING:
    from flask_chest.extension import AppRecorder

LOOKING: Final = ("tail", "show", "check")
"""Of the commands of ``chest`` those that look at chests; they take the application's when no URL is typed."""


class AppCommands(ChestCommands):
    """The commands that make sense for one application."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*LOOKING, "settings"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "settings":
            return settings
        return super().get_command(ctx, cmd_name) if cmd_name in LOOKING else None


@click.group("chest", cls=AppCommands)
@click.pass_context
@with_appcontext
def chest_commands(ctx: click.Context) -> None:
    """Look at the records of this application's requests.

    Where a command takes a URL and none is given, the chest is the application's.
    """
    ctx.obj = current_app.extensions["chest"].settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object an option and line.")
@with_appcontext
def settings(as_json: bool) -> None:
    """Show every option of this application, its value and who said so."""
    from chest.cli.settings import Setting, settings_of, show  # what a server that imports the extension never needs

    recorded: AppRecorder = current_app.extensions["chest"]
    on_g = Setting(G_OPTION, recorded.options.g, recorded.options.g_source)
    show([*settings_of(recorded.settings), on_g], as_json)


def add_commands(app: Flask) -> None:
    """Give the application its ``flask chest``, unless it has a command of that name."""
    if chest_commands.name not in app.cli.commands:
        app.cli.add_command(chest_commands)
