"""What is said of an interpreter, a root or a package that is not there, and what becomes of the tests without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.left_out import VARIABLE
from tests.processes import clean_environment
from tests.runs import other_pythons, roots
from tests.runs.checked import ROOT

_TESTS = """
import pytest

def from_the_package():
    try:
        import no_such_package.part
    except ImportError as error:
        raise RuntimeError("pip install it") from error

@pytest.fixture
def given():
    import no_such_package

def test_imports(): import no_such_package
def test_is_given(given): pass
def test_is_told(): from_the_package()
def test_fails_otherwise(): assert False
def test_wants_a_module_of_python(): import winreg
def test_wants_one_of_ours(): import chest.no_such_module
"""


def outcomes(place: Path, tests: str, left_out: str) -> tuple[dict[str, str], str]:
    """What became of each test of this source in a run that left these packages out, and all that was said."""
    (place / "test_it.py").write_text(tests)
    command = [
        sys.executable,
        *"-m pytest -rA -p tests.plugins.left_out -p no:cacheprovider -c /dev/null --rootdir".split(),
    ]
    environment = clean_environment(PYTHONPATH=str(ROOT), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **{VARIABLE: left_out})
    said = subprocess.run([*command, place, place], capture_output=True, text=True, env=environment, check=False).stdout
    return dict(re.findall(r"^(?:FAILED|PASSED|ERROR) .*?::(\w+).*$()", said, re.MULTILINE)), said


def test_only_what_a_run_left_out_skips_a_test_and_says_so(tmp_path: Path) -> None:
    failed, said = outcomes(tmp_path, _TESTS, "no-such-package>=3")
    assert {*failed} == {"test_fails_otherwise", "test_wants_a_module_of_python", "test_wants_one_of_ours"}
    assert "3 failed, 3 skipped" in said
    assert "there is no no_such_package for this interpreter (left out: no-such-package>=3)" in said


def test_a_run_that_left_nothing_out_skips_nothing(tmp_path: Path) -> None:
    assert "5 failed, 1 error" in outcomes(tmp_path, _TESTS, "")[1]


@pytest.mark.parametrize(("left_out", "ends_with"), [("no-such-package", "1 skipped"), ("", "1 error")])
def test_a_file_of_tests_that_cannot_be_imported(tmp_path: Path, left_out: str, ends_with: str) -> None:
    said = outcomes(tmp_path, "import no_such_package\ndef test_it(): pass\n", left_out)[1]
    assert f"{ends_with} in " in said


def test_the_requirements_are_those_of_the_group_with_its_extras_written_out() -> None:
    found = other_pythons.requirements_of_tests()
    names = [re.split(r"[^\w-]", each)[0] for each in found]
    assert {"pytest", "orjson", "psycopg", "pymongo"} <= {*names}
    assert "wsgi-chest" not in names
    assert len(found) == len({*found})


def test_an_interpreter_or_a_root_that_is_not_there_is_skipped_aloud(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "roots/bare/usr/bin").mkdir(parents=True)
    wanted = ["9.99", str(tmp_path / "python3"), str(tmp_path / "empty"), str(tmp_path / "roots")]
    assert other_pythons.main(wanted) == 0
    said = capfd.readouterr().out.splitlines()
    assert [line.partition(": SKIPPED, ")[0] for line in said] == [
        f"Python {wanted[0]}", f"Python {wanted[1]}", wanted[2], f"{wanted[3]}/bare",
    ]  # fmt: skip


def test_without_the_rights_to_enter_them_roots_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare/usr/bin").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said: list[str] = []
    assert roots.run_in_roots(tmp_path, said) == 0
    assert said == [f"{tmp_path}: SKIPPED, chroot is for root alone"]


def test_of_a_root_each_interpreter_is_taken_and_nothing_beside_it(tmp_path: Path) -> None:
    for name in (
        "bin/python3",
        "bin/python3.13",
        "bin/python3.13-config",
        "bin/pypy3",
        "bin/perl",
        "local/bin/python3.13t",
    ):
        path = tmp_path / "usr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x7fELF\x01")
    found = roots.interpreters_of(tmp_path)
    assert found == ["/usr/bin/pypy3", "/usr/bin/python3.13", "/usr/local/bin/python3.13t"]
    assert roots.command_in(tmp_path, found)[:2] == ["setarch", "i686"]  # the first is one of 32 bits
    (tmp_path / "usr/bin/pypy3").write_bytes(b"\x7fELF\x02")
    assert roots.command_in(tmp_path, found)[0] == "unshare"
