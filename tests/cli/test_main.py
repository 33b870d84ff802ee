"""``chest``: commands by name, and every error in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

from chest.cli import find
from chest.cli.main import COMMANDS
from chest.errors import ChestUnavailable, SettingsError

Run = Callable[..., Result]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_every_command_of_the_table_is_there_and_explains_itself(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: chest {name}")


def test_a_mistyped_command_is_answered_with_the_nearest_one(run: Run) -> None:
    result = run("tial")
    assert result.exit_code == 2
    assert "No such command: 'tial'; did you mean 'tail'?" in result.stderr


def test_a_command_that_is_near_to_none_is_answered_with_where_all_stand(run: Run) -> None:
    assert "`chest --help` shows them" in run("frobnicate").stderr


@pytest.mark.parametrize(
    ("error", "code"), [(ChestUnavailable("it is\nlocked"), 1), (SettingsError("it is\nlocked"), 2)]
)
def test_an_error_of_ours_is_one_line_on_standard_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(find, "readable_chest", fail)
    result = run("find", "plan=premium")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", "chest: it is\\nlocked\n")


def test_ctrl_c_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(find, "readable_chest", interrupt)
    result = run("find", "plan=premium")
    assert (result.exit_code, result.output) == (130, "")


def test_python_m_chest_is_the_same_command() -> None:
    result = subprocess.run([sys.executable, "-m", "chest", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("chest, version ")


def test_a_command_loads_neither_the_others_nor_a_driver() -> None:
    code = (
        "import sys; from chest.cli.main import commands; commands.get_command(None, 'tail')\n"
        "print(*sorted({'sqlalchemy', 'rich', 'chest.demo.command', 'chest.cli.find'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "\n"


def test_a_reader_that_ends_early_causes_no_traceback() -> None:
    command = f"{sys.executable} -m chest settings --markdown | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("# Options\n", "")


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_of_each_command_has_examples(run: Run, name: str) -> None:
    shown = run(*([name] if name else []), "--help").output
    examples = shown.partition("Examples:\n")[2].splitlines()
    assert [line for line in examples[:4] if line.strip().partition(" chest ")[0].startswith(("chest ", "CHEST_"))]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    script = subprocess.run(
        [sys.executable, "-m", "chest"],
        env=os.environ | {"_CHEST_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "_CHEST_COMPLETE" in script.stdout
