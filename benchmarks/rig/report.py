"""What a benchmark found: a table, the targets beside it, and both as JSON."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Target:
    """One figure that was promised."""

    what: str
    measured: float
    bound: Literal["at most", "at least"]
    target: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the measured figure keeps the promise; one measurement on one machine, no more."""
        return self.measured <= self.target if self.bound == "at most" else self.measured >= self.target

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "NOT MET"
        return f"{verdict:8}{self.what}: {self.measured:,.4g}{self.unit} ({self.bound} {self.target:,g}{self.unit})"


@dataclass(frozen=True)
class Report:
    """The answer of one benchmark to its question.

    :param question: the first line of the benchmark's docstring.
    :param columns: the headings; the first is that of the labels.
    :param rows: a label and a figure for each other column; None leaves a place empty.
    """

    question: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, *tuple[float | None, ...]]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        widths = [max(len(str(row[0])) for row in [self.columns, *self.rows]) + 2]
        widths += [max(len(column), 8) + 3 for column in self.columns[1:]]
        lines = [_line(row, widths) for row in [self.columns, *self.rows]]
        return "\n".join([self.question, "", *lines, "", *map(str, self.targets), *self.notes]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """For a file of results."""
        return {
            "question": self.question,
            "columns": list(self.columns),
            "rows": [[cell if isinstance(cell, str | None) else round(cell, 3) for cell in row] for row in self.rows],
            "targets": [
                {
                    "what": target.what,
                    "measured": round(target.measured, 4),
                    target.bound.replace(" ", "_"): target.target,
                    "unit": target.unit.strip(),
                    "is_met": target.is_met,
                }
                for target in self.targets
            ],
            "notes": list(self.notes),
        }


def _line(cells: Sequence[str | float | None], widths: Sequence[int]) -> str:
    label, *figures = cells
    return str(label).ljust(widths[0]) + "".join(map(_place, figures, widths[1:]))


def _place(cell: str | float | None, width: int) -> str:
    if cell is None or isinstance(cell, str):
        return (cell or "").rjust(width)
    return f"{cell:,.{0 if abs(cell) >= 1000 else 2}f}".rjust(width)


def question_of(docstring: str | None) -> str:
    """The question that a benchmark asks in the first line of its docstring."""
    return (docstring or "").splitlines()[0]


def about() -> dict[str, str]:
    """Where figures come from."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit(),
    }


def commit() -> str:
    """The commit that is measured, with a ``+`` where files differ from it; empty outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../../chest"], capture_output=True, check=False)
    return found.stdout.strip() + ("+" if changed.returncode == 1 else "")


def save(reports: Sequence[Report], here: dict[str, str], remark: str = "", name: str = "") -> Path:
    """Write the reports to ``results/<date>-<commit><name>.json``, beside those of other questions that are there.

    :param here: what :func:`about` said when the measuring began.
    """
    now = dt.datetime.now(dt.UTC)
    content: dict[str, Any] = {"time": now.isoformat(timespec="seconds"), **here, "remark": remark}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-{here['commit'].rstrip('+') or 'unknown'}{name}.json"
    earlier = json.loads(path.read_text())["reports"] if path.exists() else []
    asked = {report.question for report in reports}
    content["reports"] = [each for each in earlier if each["question"] not in asked]
    content["reports"] += [report.as_json() for report in reports]
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
