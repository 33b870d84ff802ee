"""What Chest depends on can be installed everywhere without a compiler: resolved by pip for each target, from wheels alone."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parent.parent
_SECONDS: Final = 240
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

TARGETS: Final = {
    "3.11 on an old Linux": ("3.11", "cp", "cp311", "manylinux_2_17_x86_64"),
    "3.13 without the GIL": ("3.13", "cp", "cp313t", "manylinux_2_17_x86_64"),
    "3.14 without the GIL, on ARM": ("3.14", "cp", "cp314t", "manylinux_2_17_aarch64"),
    "3.15 without the GIL": ("3.15", "cp", "cp315t", "manylinux_2_17_x86_64"),
    "3.15 on an old Linux": ("3.15", "cp", "cp315", "manylinux_2_17_x86_64"),
    "3.14 on musl": ("3.14", "cp", "cp314", "musllinux_1_2_x86_64"),
    "PyPy": ("3.11", "pp", "pypy311_pp73", "manylinux_2_17_x86_64"),
    "3.14 on a Mac": ("3.14", "cp", "cp314", "macosx_11_0_arm64"),
    "3.14 on Windows": ("3.14", "cp", "cp314", "win_amd64"),
}
FAST: Final = {
    "3.11": ("3.11", "cp", "cp311", "manylinux_2_17_x86_64"),
    "3.14": ("3.14", "cp", "cp314", "manylinux_2_17_x86_64"),
    "3.14 on ARM": ("3.14", "cp", "cp314", "manylinux_2_17_aarch64"),
}


def _resolved(target: tuple[str, str, str, str], requirements: list[str], place: Path) -> set[str] | str:
    """The names of the wheels that pip would install; else what it says."""
    version, implementation, abi, platform = target
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", "--target", str(place)),
        *("--only-binary", ":all:", "--python-version", version, "--implementation", implementation, "--abi", abi),
        *("--platform", platform, "--retries", "1", "--timeout", "10", *requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        return done.stderr
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return {each["metadata"]["name"].lower() for each in report["install"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The dependencies; the tests are skipped if pip finds none of them even for the Python that runs, as without a network."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", "--timeout", "10"]
    place = tmp_path_factory.mktemp("reached")
    done = subprocess.run([*command, "--dest", str(place), "platformdirs"], capture_output=True, timeout=_SECONDS)
    if done.returncode:
        pytest.skip("pip reaches no index of packages, so nothing was resolved")
    return list(PROJECT["dependencies"])


def test_no_dependency_has_a_marker_for_pip_would_judge_it_by_the_python_that_runs() -> None:
    assert [each for each in PROJECT["dependencies"] if ";" in each] == []


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_it_installs_from_wheels_alone(target: tuple[str, str, str, str], base: list[str], tmp_path: Path) -> None:
    found = _resolved(target, base, tmp_path)
    assert not isinstance(found, str), found
    assert {re.split(r"[^\w-]", each)[0] for each in base} <= found


@pytest.mark.parametrize("target", FAST.values(), ids=FAST)
def test_the_faster_json_has_a_wheel_for(target: tuple[str, str, str, str], base: list[str], tmp_path: Path) -> None:
    found = _resolved(target, [PROJECT["optional-dependencies"]["fast"][0].partition(";")[0]], tmp_path)
    assert found == {"orjson"}


def test_a_package_that_is_hard_to_install_without_a_wheel_is_an_extra() -> None:
    """A compiled dependency of all would end an installation wherever its wheel is missing."""
    assert {re.split(r"[^\w-]", each)[0] for each in PROJECT["dependencies"]} == {"platformdirs", "click", "rich"}


def _metadata_hook() -> Any:
    spec = importlib.util.spec_from_file_location("metadata_hook", ROOT / "packaging/metadata_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_an_index_shows_leads_to_the_repository_and_nowhere_without_its_address() -> None:
    hook, readme = _metadata_hook(), (ROOT / "README.md").read_text()
    shown = hook.long_description(readme, "https://example.org/chest")
    targets = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert len(targets) > 50
    assert [each for each in targets if not each.startswith(("https://", "#"))] == []
    assert "![The page" in shown
    assert "](https://example.org/chest/raw/main/docs/page.png)" in shown
    paths = [each.partition("/blob/main/")[2].partition("#")[0] for each in targets if "/blob/main/" in each]
    paths += [
        each.partition("/blob/main/")[2] for each in hook.urls("https://example.org/chest").values() if "/blob/" in each
    ]
    assert [each for each in paths if not (ROOT / each).exists()] == []
    assert hook.urls("") == {}
    assert re.findall(r"\]\((?!https?://|#)", hook.long_description(readme, "")) == []
