"""What the demonstration says at the end."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from chest.chests.registry import open_chest
from chest.cli.demo import report
from chest.cli.demo.balance import Balance
from chest.record.record import Outcome, Record
from chest.testing import make_record


def record(route: str | None, milliseconds: float, status: int = 200, outcome: str = Outcome.OK) -> Record:
    variables = {"user_id": "a da", "note": "[bold]x[/bold]"}
    times = (1, int(milliseconds * 1e6))
    return Record(
        "0" * 32, "id-1", *times, "GET", "/", route, status, outcome, None, variables, {}, "shop", "1", "host"
    )


def told(balance: Balance) -> str:
    console = Console(file=io.StringIO(), width=80)
    report.print_balance(console, balance)
    return written(console)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def balance(missing: tuple[str, ...] = (), doubled: tuple[str, ...] = (), answered: int = 570) -> Balance:
    return Balance(
        answered, Counter({"stream cut": 1, "client left mid-stream": 29}), 600, missing, doubled, Counter(ok=30)
    )


def test_a_complete_store_is_said_to_be_so_with_its_figures() -> None:
    text = told(balance())
    assert "600 requests, 570 answered, 30 not" in text
    assert "29 client left mid-stream, 1 stream cut" in text
    assert "Every one of the 570 answered requests is in the store exactly once." in text


def test_missing_and_doubled_requests_are_named_and_long_lists_are_cut() -> None:
    text = told(balance(missing=tuple("abcdefg"), doubled=("z",)))
    assert "the store lacks 7 (a, b, c, d, e and 2 more) and holds 1 more than once (z)." in text
    assert "Every one" not in text


def test_an_experiment_without_answers_is_not_called_a_success() -> None:
    assert "No request was answered" in told(balance(answered=0))


def test_a_record_is_shown_whole_and_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=40)
    shown = record("/", 1)
    report.print_record(console, shown)
    assert json.loads(written(console).removeprefix("\nOne record:\n")) == shown._asdict()


def test_the_questions_are_shown_as_they_are_typed_and_the_answers_name_what_is_slow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as store:
        durations = [(60 if place % 8 == 7 else 4) * 10**6 for place in range(160)]
        store.write(
            [
                make_record(
                    route="/items/<int:item_id>",
                    duration_ns=duration_ns,
                    time_ns=10**18 + place,
                    variables={"item_id": place % 8},
                )
                for place, duration_ns in enumerate(durations)
            ]
        )
    report.print_answers(Console(width=80), url, since_ns=10**18)
    output = capsys.readouterr().out
    _, top, compare = output.split("\n$ ")
    question, heading, row, everything = top.splitlines()
    assert shlex.split(question)[1:] == ["top", url, "--since", "2001-09-09T01:46:40.000000Z"]
    assert heading.startswith("route")
    assert row.split()[:2] == ["/items/<int:item_id>", "160"]
    assert everything.split()[:2] == ["(all)", "160"]
    assert [line.split()[:4] for line in compare.splitlines() if " 7 " in line] == [["item_id", "7", "100%", "0%"]]


def test_the_next_commands_can_be_pasted_into_a_shell() -> None:
    console = Console(file=io.StringIO(), width=40)
    report.print_next_commands(console, "sqlite:////tmp/my demo/chest.sqlite3", record("/", 1))
    said = written(console).removeprefix("\nTry next:\n")
    commands = said.replace("\nThe same in a browser, which --ui opens at once:\n", "").splitlines()
    words = [shlex.split(command) for command in commands]
    assert [each[1:] for each in words] == [
        ["find", "sqlite:////tmp/my demo/chest.sqlite3", "user_id=a da"],
        ["tail", "sqlite:////tmp/my demo/chest.sqlite3"],
        ["show", "sqlite:////tmp/my demo/chest.sqlite3", "id-1"],
        ["ui", "sqlite:////tmp/my demo/chest.sqlite3"],
    ]
    assert len({each[0] for each in words}) == 1
    assert shutil.which(words[0][0]) is not None


def test_the_command_is_named_by_its_path_if_the_shell_does_not_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "venv" / "bin" / "chest"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert report.typed_command() == str(script)
    monkeypatch.chdir(tmp_path)
    assert report.typed_command() == "venv/bin/chest"
    monkeypatch.setenv("PATH", str(script.parent))
    assert report.typed_command() == "chest"
