"""``chest watch``: a table again and again, on a terminal in the same place."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from chest.chests.memory import MemoryChest
from chest.chests.registry import open_chest
from chest.errors import ChestUnavailable
from chest.record.record import Record
from chest.testing.records import make_record

Run = Callable[..., Result]


def test_in_a_pipe_each_table_stands_below_the_one_before_and_has_what_came_since(
    run: Run, shelf: MemoryChest, record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        shelf.write([record(time_ns=time.time_ns())])
        if len(pauses) == 3:
            raise KeyboardInterrupt

    shelf.write([record(time_ns=time.time_ns() - 3600 * 10**9)])
    monkeypatch.setattr("chest.cli.asking.watch.time.sleep", pause)
    result = run("watch", shelf.name, "--every", "7")
    assert result.exit_code == 130
    assert pauses == [7.0] * 3
    counts = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("(all)")]
    assert counts == ["0", "1", "2"]


def test_a_store_that_is_down_is_waited_for(run: Run, shelf: MemoryChest, monkeypatch: pytest.MonkeyPatch) -> None:
    cube, calls = MemoryChest.cube, []

    def cube_of_a_store_that_comes_back(*args: object, **options: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            raise ChestUnavailable("it is restarted")
        return cube(*args, **options)  # type: ignore[arg-type]

    def pause(_: float) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(MemoryChest, "cube", cube_of_a_store_that_comes_back)
    monkeypatch.setattr("chest.cli.asking.watch.time.sleep", pause)
    output = run("watch", shelf.name).stdout
    assert output.startswith("chest: waiting: it is restarted\n")
    assert "(all)" in output


def test_on_a_terminal_it_redraws_and_ctrl_c_leaves_the_screen_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    with open_chest(url) as chest:
        chest.write([make_record()])
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "chest", "watch", url, "--every", "0.1"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"(all)") < 2:
            shown += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            if not more:
                break
            shown += more
        assert process.wait(60) == 130
    os.close(terminal)
    assert b"/items/<int:id>" in shown
    assert shown.index(b"\x1b[?1049h") < shown.rindex(b"\x1b[?1049l")
