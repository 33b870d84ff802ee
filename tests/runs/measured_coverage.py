"""``python -m tests.runs.measured_coverage``: run the unit tests, and say which lines of Chest they run, in Python and in C.

The other tests measure time, kill processes and start servers, so they run without. They run more lines, and the floors are
lower than what all tests reach.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from tests.runs.checked import ROOT, add_to_summary, run_tests

PLACE: Final = ROOT / "build" / "coverage"
FLOOR_OF_C: Final = 86.0
"""Per cent; that of Python stands in ``pyproject.toml``."""
_WRITE: Final = "extern void __gcov_dump(void);\nvoid write_coverage(void) { __gcov_dump(); }\n"
_FILE: Final = re.compile(r"File '(?P<name>[^']*)'\nLines executed:(?P<share>[\d.]+)% of (?P<lines>\d+)")


def main(arguments: list[str]) -> int:
    """Build, run, report; 0 if nothing failed and no share is below its floor.

    :param arguments: for pytest: fewer tests, more processes.
    """
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    environment = os.environ | {
        "NATIVE_BUILD_OF_TESTS": str(build()),
        "COVERAGE_FILE": str(PLACE / "data"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")]),
    }

    command = [sys.executable, "-m", "coverage"]

    def coverage(*more: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], cwd=ROOT, env=environment, check=False, **options)

    pytest = [*command, "run", "-m", "pytest"]
    tests = run_tests(pytest, [*"-q -m unit -n 3 --dist worksteal".split(), *arguments], environment=environment)
    combined = coverage("combine", "--quiet")
    report = coverage("report", "--skip-covered", stdout=subprocess.PIPE, text=True)
    print(report.stdout)
    of_c = report_of_c()
    of_python = re.search(r"^TOTAL .*?(\d+)%", report.stdout, re.MULTILINE)
    summary = f"Coverage by the unit tests: Python {of_python[1] if of_python else '?'} %, C {of_c:.1f} %"
    add_to_summary(summary)
    return max(tests, combined.returncode, report.returncode, 2 if of_c < FLOOR_OF_C else 0)


def build() -> Path:
    """The compiled part with counters; its path."""
    (PLACE / "write.c").write_text(_WRITE)
    library = PLACE / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = shutil.which("gcc") or "cc"
    include = ["-I", str(ROOT / "chest/native"), "-I", sysconfig.get_path("include")]
    sources = [str(ROOT / "chest/native/module.c"), "write.c"]
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", "--coverage"]
    subprocess.run(
        [compiler, *flags, *include, *sources, "-lpthread", "-lrt", "-ldl", "-o", library.name], cwd=PLACE, check=True
    )
    return library


def report_of_c() -> float:
    """Print what ``gcov`` says of each file; its sum, in per cent."""
    data = sorted(path.name for path in PLACE.glob("*module.gcda"))
    said = subprocess.run(["gcov", "-n", *data], cwd=PLACE, check=True, capture_output=True, text=True).stdout
    found = [(match["name"], float(match["share"]), int(match["lines"])) for match in _FILE.finditer(said)]
    ours = [(name, share, lines) for name, share, lines in found if "chest/native" in name]
    for name, share, lines in sorted(ours):
        print(f"{name.partition('chest/native/')[2]:<45}{lines:>6} lines {share:>6.1f} %")
    return sum(share * lines for _, share, lines in ours) / sum(lines for *_, lines in ours)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
