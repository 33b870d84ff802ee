"""``python -m tests.runs.checked -m "not unit"``: run pytest with these arguments; a few tests that failed run once more, alone.

Tests that start servers and kill processes fail now and then on a machine with two cores and other work. Nothing is hidden:
pytest shows each failure of the first run in full, and ``make check`` ends with the list of what passed only the second time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SUMMARY: Final = ROOT / "build" / "summary"
"""What ``make check`` ends with; each of its steps adds lines."""
MOST_FAILED: Final = 3
"""If more tests fail, it is not for the load of the machine."""


def run_tests(
    pytest: Sequence[str],
    arguments: Sequence[str],
    *,
    directory: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    summary: Path = SUMMARY,
) -> int:
    """Run the tests, and those that failed once more in one process without others beside them; the exit status of pytest.

    A test during which a worker of pytest-xdist ended counts as failed. A collection that fails has no second try.

    :param pytest: the command that runs pytest.
    :param arguments: for its first run: which tests, how many processes.
    :param directory: from which the tests are named.
    :param environment: of the processes; this one's if None.
    :param summary: the file to which the names of tests are added that passed only the second time.
    """

    def run(*more: str) -> int:
        return subprocess.run([*pytest, *more], cwd=directory, env=environment, check=False).returncode

    with TemporaryDirectory(prefix="chest-checked-") as cache:
        status = run("-o", f"cache_dir={cache}", *arguments)
        last_failed = Path(cache, "v/cache/lastfailed")
        failed = list(json.loads(last_failed.read_text())) if last_failed.exists() else []
    if status != 1 or not 0 < len(failed) <= MOST_FAILED or not all("::" in name for name in failed):
        return status
    print(f"=== {len(failed)} failed, and once more, alone: {', '.join(failed)} ===", flush=True)
    status = run("-q", "-n", "0", "-p", "no:cacheprovider", *failed)
    if status == 0:
        add_to_summary(f"passed only alone, the second time: {', '.join(failed)}", summary)
    return status


def add_to_summary(line: str, summary: Path = SUMMARY) -> None:
    """Print the line, here and at the end of ``make check``."""
    print(line, flush=True)
    summary.parent.mkdir(parents=True, exist_ok=True)
    with summary.open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(run_tests([sys.executable, "-m", "pytest"], sys.argv[1:]))
