"""``chest settings``: every option, its meaning, value and source; makes docs/options.md."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from chest.chests.registry import safe_url
from chest.cli.record_text import json_text
from chest.record.messages import printable
from chest.recorder.stores_in_use import DEFAULT_STORE
from chest.settings.option import Option, Source
from chest.settings.settings import Settings, options
from chest.system.directory import state_directory

_TITLES: Final = {"recorder": "Of a recorder", "request": "Of the request side"}
_FEWEST_COLUMNS: Final = 60
_INTRODUCTION: Final = """\
# Options

<!-- Derived: `python -m chest settings --markdown > docs/options.md` -->

Every option is an argument of `Recorder` and `ChestMiddleware`, a key of a config mapping (Flask's `app.config`) and,
but for callables, an environment variable. An argument wins over the config, the config over the environment, and that
over the default. `None`, and an empty environment variable, mean "not given". Editors, mypy and pyright know the names and types of the arguments.

An unknown argument or config key, an invalid value, and options that contradict each other are refused at
start. An unknown environment variable is only logged. A middleware that shares a recorder takes the options of
the request side and refuses those of a recorder.

In the environment a list is separated by commas. `CHEST_URLS` is separated by spaces, or by commas before a new URL: a
comma inside a URL stays there. `chest settings` shows the present values and their sources.
"""


class Setting(NamedTuple):
    """An option, its value, and the source of the value."""

    option: Option
    value: Any
    source: Source


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object an option and line.")
@click.option("--markdown", is_flag=True, help="The documentation of the options; reads no environment.")
def settings(as_json: bool, markdown: bool) -> None:
    """Show every option, its value, its environment name and the source of the value.

    The value is the one that holds in this environment; the default is shown if it is another.

    \b
    Examples:
      chest settings
      CHEST_SAMPLE=0.1 chest settings --json
    """
    if markdown:
        click.echo(markdown_text(), nl=False)
        return
    show(settings_of(Settings.resolve({})), as_json)


def settings_of(current: Settings) -> list[Setting]:
    """Every option of the core with its value."""
    return [Setting(option, getattr(current, option.name), current.source_of(option.name)) for option in options()]


def show(settings: Sequence[Setting], as_json: bool) -> None:
    """Print them, as text or as one JSON object a line."""
    if not as_json:
        _print_list(settings)
        return
    for setting in settings:
        click.echo(json_text(_described(setting)))


def markdown_text() -> str:
    """docs/options.md."""
    parts = [_INTRODUCTION]
    for side, title in _TITLES.items():
        rows = [_row(option) for option in options() if option.side == side]
        parts += [
            f"\n## {title}\n\n",
            "| option | environment | default | unit | meaning | value |\n",
            "|---" * 6,
            "|\n",
        ]
        parts += rows
    return "".join(parts)


def _row(option: Option) -> str:
    environment = f"`{option.environment_name}`" if option.environment_name else f"- (config: `{option.key}`)"
    default = _value_text(option._replace(unit=""), option.default)
    value = option.type_text.replace("|", "\\|")
    meaning = f"{option.meaning} Before: `{option.former}`, which still works." if option.former else option.meaning
    cells = (f"`{option.name}`", environment, f"`{default}`" if default else "-", option.unit, meaning, value)
    return f"| {' | '.join(cells)} |\n"


def _print_list(settings: Sequence[Setting]) -> None:
    """Two or more lines an option, in 80 columns or as many as the terminal has."""
    columns = max(shutil.get_terminal_size().columns, _FEWEST_COLUMNS)
    for option, given, source in settings:
        value, default = _value_text(option, given), _value_text(option, option.default)
        shown = printable(value or _effect_of_nothing(option.name) or "-")
        if source != "default" and default != value:
            shown += f"   (default: {printable(default or '-')})"
        name = option.environment_name or f"{option.key} (config)"
        head = f"{option.name} = {shown}"
        click.echo(
            "\n".join(
                (
                    *textwrap.wrap(head, columns, subsequent_indent="    ", break_on_hyphens=False),
                    *textwrap.wrap(
                        f"{name}, from {source}. {printable(option.meaning)}",
                        columns,
                        initial_indent="    ",
                        subsequent_indent="    ",
                        break_on_hyphens=False,
                    ),
                )
            )
        )


def _effect_of_nothing(name: str) -> str:
    """The default of an option, if it is known here."""
    directory = os.environ.get("CHEST_DIRECTORY") or str(state_directory() / "SERVICE")
    return {"directory": directory, "chests": f"sqlite:///{directory}/{DEFAULT_STORE}"}.get(name, "")


def _described(setting: Setting) -> dict[str, Any]:
    option = setting.option
    return {
        "name": option.name,
        "value": _plain(option, setting.value),
        "source": setting.source,
        "default": _plain(option, option.default),
        "unit": option.unit,
        "meaning": option.meaning,
        "type": option.type_text,
        "side": option.side,
        "environment": option.environment_name,
    }


def _plain(option: Option, value: Any) -> Any:
    """The value as JSON has it; URLs without their secrets."""
    if option.kind.is_secret and isinstance(value, str | None):
        return value and "***"
    if option.kind.is_secret:
        return [safe_url(each) if isinstance(each, str) else repr(each) for each in value]
    if isinstance(value, Mapping):
        return {name: list(names) for name, names in value.items()}
    has_json = isinstance(value, bool | int | float | str | tuple | None) and value != float("inf")
    return value if has_json else str(value)


def _value_text(option: Option, value: Any) -> str:
    """The value as a person reads it, with its unit; "" for nothing."""
    plain = _plain(option, value)
    if plain is None:
        return ""
    if isinstance(plain, Mapping):
        return json_text(plain)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, Iterable):
        return " ".join(plain)
    number = f"{plain:g}" if isinstance(plain, float) else str(plain)
    return f"{number} {option.unit}".rstrip()
