"""``record_commands``: each command of an application's ``flask`` command line is work."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import click
from flask import Flask

if TYPE_CHECKING:
    from flask_chest.extension import FlaskRecorder

_NOT_RECORDED = "chest"
"""The commands that look at records leave none."""


def record_commands(app: Flask, recorder: FlaskRecorder) -> None:
    """See :meth:`flask_chest.FlaskRecorder.record_commands`."""
    _record_group(app.cli, app, recorder, "")


def _record_group(group: click.Group, app: Flask, recorder: FlaskRecorder, before: str) -> None:
    get_command = group.get_command

    def get_recorded(ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = get_command(ctx, cmd_name)
        path = f"{before}{cmd_name}"
        return (
            None if command is None else command if path == _NOT_RECORDED else _recorded(command, app, recorder, path)
        )

    group.get_command = get_recorded  # type: ignore[method-assign]


def _recorded(command: click.Command, app: Flask, recorder: FlaskRecorder, path: str) -> click.Command:
    """A copy of the command: an application's own may be part of another's command line, too."""
    command = copy.copy(command)
    if isinstance(command, click.Group):
        _record_group(command, app, recorder, f"{path} ")
        return command
    invoke = command.invoke

    def invoke_recorded(ctx: click.Context) -> Any:
        with app.app_context(), recorder.work(path, kind="command"):  # Flask uses the context that is there
            return invoke(ctx)

    command.invoke = invoke_recorded  # type: ignore[method-assign]
    return command
