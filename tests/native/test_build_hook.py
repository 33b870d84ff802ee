"""What is compiled at a build, and what a build says where nothing is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from chest.native import build_hook

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("why", "said"),
    [({"CC": shutil.which("false") or "false"}, "failed with exit code"), ({build_hook.UNWANTED: "1"}, "are both set")],
    ids=["no-compiler", "not-wanted"],
)
def test_a_build_of_a_wheel_to_publish_is_an_error_if_it_does_not_compile(
    why: dict[str, str], said: str, tmp_path: Path
) -> None:
    built = subprocess.run(
        [sys.executable, *"-m pip wheel --no-deps --no-build-isolation --wheel-dir".split(), str(tmp_path), str(ROOT)],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | why | {build_hook.REQUIRED: "1"},
    )  # fmt: skip
    assert built.returncode != 0
    assert said in built.stdout + built.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_free_threaded_interpreter_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    monkeypatch.setattr(sys.implementation, "name", "cpython")
    with pytest.raises(RuntimeError, match=r"lock \(GIL\), and this is a free-threaded build"):
        build_hook.refuse_interpreter()


def test_another_system_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sysconfig, "get_config_var", {}.get)
    monkeypatch.setattr(sys.implementation, "name", "cpython")
    with pytest.raises(RuntimeError, match=r"it is for Linux, and this is darwin"):
        build_hook.refuse_interpreter()
