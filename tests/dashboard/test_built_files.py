"""The files of the page that are shipped are those that its sources build, and the sources are sound."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.dashboard.node_packages import node_modules
from tests.processes import ROOT

SHIPPED = ROOT / "chest" / "dashboard" / "static"
_MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``ui/``, with the packages that it is built of."""
    directory = tmp_path_factory.mktemp("page") / "ui"
    packages = node_modules()
    shutil.copytree(ROOT / "ui", directory, ignore=shutil.ignore_patterns("node_modules"))
    (directory / "node_modules").symlink_to(packages)
    return directory


def _run(directory: Path, *command: str) -> None:
    finished = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_shipped_files_equal_a_fresh_build(sources: Path, tmp_path: Path) -> None:
    _run(sources, "node", "build.mjs", str(tmp_path))
    built = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    shipped = {file.name: file.read_bytes() for file in SHIPPED.iterdir()}
    assert built.keys() == shipped.keys()
    stale = [name for name in built if built[name] != shipped[name]]
    assert not stale, f"node ui/build.mjs builds another {' and '.join(stale)}"


def test_the_types_of_the_sources_hold(sources: Path) -> None:
    _run(sources, "node_modules/.bin/tsc", "--noEmit")


def test_the_linter_has_nothing_to_say_of_the_sources(sources: Path) -> None:
    _run(sources, "node_modules/.bin/biome", "check", "--error-on-warnings", ".")


def test_what_a_browser_loads_is_small() -> None:
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in SHIPPED.iterdir()}
    assert sum(sizes.values()) <= _MOST_BYTES, sizes


@pytest.mark.parametrize(
    "file", sorted(path for path in (ROOT / "ui").rglob("*.*") if "node_modules" not in path.parts)
)
def test_a_source_of_the_page_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300
