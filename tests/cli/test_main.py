"""``chest``: commands by name, and every error in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests import open_chest
from chest.cli import find
from chest.cli.main import COMMANDS
from chest.errors import ChestUnavailable, SettingsError
from chest.testing import make_record
from tests.processes import run_python

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


_RECORDS_REQUESTS = "chest.middleware chest.recorder.recorder chest.request chest.ring chest.delivery"
_SLOW_TO_LOAD = (
    "chest.record.secret_names chest.record.secret_text importlib.metadata email platformdirs hashlib difflib tempfile"
    " asyncio subprocess rich.console rich.table sqlalchemy pymongo httpx duckdb apscheduler chest.cli.demo"
)
_COMMANDS = " ".join(command.place.partition(":")[0] for command in COMMANDS.values())


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        ("import chest", f"{_RECORDS_REQUESTS} {_SLOW_TO_LOAD} chest.chests chest.settings chest.cli logging json shutil orjson click"),
        ("from chest.cli.main import commands; commands.main(['--help'], standalone_mode=False)",
         f"{_RECORDS_REQUESTS} {_SLOW_TO_LOAD} {_COMMANDS} chest.chests chest.query sqlite3 orjson"),
        ("from chest.cli.main import commands; commands.main(['tail', '--help'], standalone_mode=False)",
         f"{_RECORDS_REQUESTS} {_SLOW_TO_LOAD} {_COMMANDS.replace('chest.cli.tail', '')} sqlite3"),
        ("from chest.cli.main import commands; commands.main(['top', sys.argv[1]], standalone_mode=False)",
         f"{_RECORDS_REQUESTS} {_SLOW_TO_LOAD} {_COMMANDS.replace('chest.cli.asking.top', '')} shutil lzma"),
    ],
    ids=["import", "help", "tail", "top"],
)  # fmt: skip
def test_what_a_command_does_not_need_is_not_loaded(code: str, unneeded: str, tmp_path: Path) -> None:
    """The first line stands there at once: what is named here took more than half of the time until then."""
    with open_chest(f"sqlite:///{tmp_path / 'chest.sqlite3'}") as chest:
        chest.write([make_record()])
    found = f"print(*[name for name in {unneeded.split()} if name in sys.modules], sep='\\n', file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path}\n{code}\n{found}", str(tmp_path / "chest.sqlite3")],
        capture_output=True, text=True, check=True, env={},
    )  # fmt: skip
    loaded = result.stderr.splitlines()
    assert loaded[-1:] == [""], loaded


def test_the_summary_of_each_command_fits_the_help_and_says_what_its_own_help_says(run: Run) -> None:
    lines = run("--help").output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [" ".join(line.split()[1:]) for line in lines] == [command.summary for command in COMMANDS.values()]


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
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "_CHEST_COMPLETE" in script.stdout


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no niceness here")
@pytest.mark.parametrize(("name", "more"), [("top", 10), ("--help", 0), ("check", 0)])
def test_a_command_that_asks_leaves_the_cores_to_those_who_serve(name: str, more: int) -> None:
    code = """
import os, sys
from chest.cli.main import main
before = os.nice(0)
sys.argv = ["chest", sys.argv[1], "--help"]
try:
    main()
except SystemExit:
    print(before, os.nice(0))
"""
    before, after = run_python(code, name).split()[-2:]
    assert int(after) == min(19, int(before) + more)
