"""What a command that asks costs as a process: CPU until its first line, and the most memory it holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest

_ALL: Final[Mapping[str, Sequence[str]]] = {
    "top": ("top",),
    "top --by plan": ("top", "--by", "plan"),
    "over-time --by status": ("over-time", "--by", "status", "--step", "1m"),
    "heatmap": ("heatmap",),
    "values": ("values",),
    "compare --slower-than p95": ("compare", "--slower-than", "p95"),
    "new": ("new",),
    "find status>=500": ("find", "status>=500"),
}
"""Over the whole file: for the memory."""
_LAST_HOUR: Final = {name: words for name, words in _ALL.items() if name != "new"}
"""Without ``new``, which looks at all that is older."""
_BUDGET: Final = ("--seconds", "300")
_OTHERS: Final[Mapping[str, Sequence[str]]] = {
    "show ID": ("show", "{path}", "{id}", *_BUDGET),
    "show, 8 characters": ("show", "{path}", "{beginning}", *_BUDGET),
    "find --before ID": ("find", "{path}", "--before", "{id}", "--limit", "5", "time>={since}", *_BUDGET),
    "new --since 1h": ("new", "{path}", "--since", "{since}", *_BUDGET),
    "sql": ("sql", "{path}", "--no-shell"),
    "index": ("index", "{path}"),
}
"""Beside a filter: about one request, and what does not depend on how much is stored. ``show`` and ``new`` look at all that is older."""

_CHILD: Final = """
import re, sys, time
from chest.cli.main import main
try:
    main()
finally:
    peak = re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())
    print(time.process_time(), peak[1], file=sys.stderr)
"""
"""Tells what it cost itself: what the system says of a child that ended counts the process from which it was forked."""


class Cost(NamedTuple):
    """Of one process."""

    cpu_seconds: float
    megabytes: float


def commands_over_all(path: Path) -> dict[str, Cost]:
    """Each command over the whole file, exact however long that takes."""
    return {name: _cost([words[0], str(path), *words[1:], *_BUDGET]) for name, words in _ALL.items()}


def commands_over_the_last_hour(path: Path, since: str) -> dict[str, Cost]:
    """Each command over the last hour, or about one request, and ``--help``: what a person waits for that asks a small question.

    The process ends with its answer, so its CPU is at least what comes before the first line.
    """
    found = {"--help": _cost(["--help"])}
    for name, words in _LAST_HOUR.items():
        found[name] = _cost([words[0], str(path), f"time>={since}", *words[1:], *_BUDGET])
    with open_chest(f"sqlite:///{path}") as chest:
        assert isinstance(chest, ReadableChest)
        request_id = chest.latest(limit=1).records[0].record.request_id
    values = {"path": path, "since": since, "id": request_id, "beginning": request_id[:8]}
    for name, words in _OTHERS.items():
        found[name] = _cost([word.format(**values) for word in words])
    return found


def _cost(arguments: Sequence[str]) -> Cost:
    """The better of two runs: the first one may have to read the file, and to compile."""
    return min(_run(arguments) for _ in range(2))


def _run(arguments: Sequence[str]) -> Cost:
    finished = subprocess.run([sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"chest {' '.join(arguments)}: exit code {finished.returncode}: {finished.stderr[-300:]}")
    cpu_seconds, kilobytes = finished.stderr.splitlines()[-1].split()
    return Cost(float(cpu_seconds), float(kilobytes) / 1024)
