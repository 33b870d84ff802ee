"""``flask chest …``: the commands of ``chest``, for the application that ``flask --app`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from chest.adapter import ChestCommands
from flask_chest.app_settings import G_OPTION

if TYPE_CHECKING:
    from flask_chest.extension import AppRecorder

LEFT_OUT: Final = ("demo",)
"""Of the commands of ``chest`` those that have an application of their own."""


class AppCommands(ChestCommands):
    """The commands that make sense for one application."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if name not in LEFT_OUT]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "settings":
            return settings
        return None if cmd_name in LEFT_OUT else super().get_command(ctx, cmd_name)


@click.group("chest", cls=AppCommands)
@click.pass_context
@with_appcontext
def chest_commands(ctx: click.Context) -> None:
    """Look at the records of this application's requests, and manage them.

    Without a URL a command uses the application's chest, and always the application's settings.
    """
    ctx.obj = current_app.extensions["chest"].settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object an option and line.")
@with_appcontext
def settings(as_json: bool) -> None:
    """Show every option of this application, its value and its source."""
    from chest.adapter import Setting, settings_of, show  # what a server that imports the extension never needs

    recorded: AppRecorder = current_app.extensions["chest"]
    on_g = Setting(G_OPTION, recorded.options.g, recorded.options.g_source)
    show([*settings_of(recorded.settings), on_g], as_json)


def add_commands(app: Flask) -> None:
    """Give the application its ``flask chest``, unless it has a command of that name."""
    if chest_commands.name not in app.cli.commands:
        app.cli.add_command(chest_commands)
