"""``python -m benchmarks.readme_costs``: the tables of README's section on costs, from a saved run of frameworks and shapes.

The run is the newest in ``results/`` that holds both, or the file that is named. With ``--write`` they replace those in README::

    python -m benchmarks frameworks shapes --save
    python -m benchmarks.readme_costs --write
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from benchmarks import bench_frameworks, bench_shapes
from benchmarks.rig.report import RESULTS, question_of

README: Final = Path(__file__).parents[1] / "README.md"
BEGIN: Final = "<!-- python -m benchmarks.readme_costs --write -->\n"
END: Final = "<!-- end -->\n"
_QUESTIONS: Final = tuple(question_of(module.__doc__) for module in (bench_frameworks, bench_shapes))
_SHAPES_A_LINE: Final = 3


def tables(saved: dict[str, Any], name: str) -> str:
    """The tables in Markdown: frameworks first, since a reader has one; then each shape with its share.

    :param saved: what ``--save`` wrote.
    :param name: the name of the file that it is in.
    """
    frameworks, shapes = (_rows(saved, question) for question in _QUESTIONS)
    lines = [
        "| a bare route with three variables | Chest adds | prometheus_client adds | share |",
        "|---|---|---|---|",
        *(
            f"| {label} | {chest:.1f} µs | {counting:.1f} µs | {share:.2f} |"
            for label, chest, counting, share in frameworks
        ),
        "",
        "A WSGI application that returns a list, and requests of other shapes: what Chest adds, as a share of what counting one adds.",
        "",
        "| shape | share " * _SHAPES_A_LINE + "|",
        "|---|---" * _SHAPES_A_LINE + "|",
    ]
    cells = [f"| {label} | {share:.2f} " for label, _, _, share in shapes]
    cells += ["| | "] * (-len(cells) % _SHAPES_A_LINE)
    lines += ["".join(cells[place : place + _SHAPES_A_LINE]) + "|" for place in range(0, len(cells), _SHAPES_A_LINE)]
    return "\n".join(
        [*lines, "", f"One run, one process, interleaved rounds: [{name}](benchmarks/results/{name}).", ""]
    )


def newest() -> Path:
    """The newest file of results that answers both questions.

    :raises SystemExit: there is none.
    """
    for path in sorted(RESULTS.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        asked = [report["question"] for report in json.loads(path.read_text()).get("reports", [])]
        if all(question in asked for question in _QUESTIONS):
            return path
    raise SystemExit("no saved run has both: python -m benchmarks frameworks shapes --save")


def written(readme: str, found: str) -> str:
    """README with these tables in the place of those between the two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"README.md has no {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{BEGIN}{found}{END}{after}"


def _rows(saved: dict[str, Any], question: str) -> list[list[Any]]:
    return next(report["rows"] for report in saved["reports"] if report["question"] == question)


def main() -> None:
    """Print the tables, or write them into README."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme_costs", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "results", nargs="?", type=Path, help="a file that --save wrote; else the newest with both answers"
    )
    parser.add_argument("--write", action="store_true", help="replace the tables in README.md")
    arguments = parser.parse_args()
    path = arguments.results or newest()
    found = tables(json.loads(path.read_text()), path.name)
    if arguments.write:
        README.write_text(written(README.read_text(), found))
    else:
        print(found, end="")


if __name__ == "__main__":
    main()
