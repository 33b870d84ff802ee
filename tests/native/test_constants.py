"""What C and Python both say is the same, or nothing is imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from chest.native import IS_NATIVE, agree, constants

NATIVE = Path(__file__).parents[2] / "chest/native"

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def test_a_number_that_is_another_in_c_is_refused_at_import() -> None:
    with pytest.raises(ImportError, match="CHECK is 7 in Python and 65521 in C"):
        agree(CHECK=7)


def test_each_constant_of_c_is_compared_with_the_one_in_python() -> None:
    sources = "".join(path.read_text() for path in NATIVE.parent.rglob("*.py"))
    asked = set(re.findall(r"\b([A-Z_]+)=", " ".join(re.findall(r"\bagree\(([^)]*)\)", sources))))
    assert asked == set(constants)


def test_the_compiled_part_is_compiled_without_a_warning(tmp_path: Path) -> None:
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, "-std=c11", "-O3", "-fPIC", "-Wall", "-Wextra", "-Werror", "-c", str(NATIVE / "module.c")]
    command += [f"-I{NATIVE}", f"-I{sysconfig.get_path('include')}", "-o", str(tmp_path / "module.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_KINDS = {False: ["isolated=False"], True: ["'legacy'", "'isolated'"]}[sys.version_info >= (3, 13)]


@pytest.mark.parametrize("kind", _KINDS)
def test_another_interpreter_of_the_process_is_served_in_python(kind: str) -> None:
    """Its types would answer for classes of the application: from 3.12 on each interpreter numbers types by itself."""
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    program = f"""
import {module} as interpreters
import chest.native
assert chest.native.IS_NATIVE
said = interpreters.run_string(interpreters.create({kind}), "import chest.native; assert not chest.native.IS_NATIVE")
assert said is None, said  # 3.13 and later tell an exception; earlier ones raise it
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
