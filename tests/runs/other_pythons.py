"""``python -m tests.runs.other_pythons 3.12 3.13``: the tests of ``make quick`` on other interpreters, pure and compiled.

An argument is a version, the path of an interpreter, or a folder of roots: systems, as ``debootstrap`` makes them, in which each
interpreter is taken (``tests/runs/roots.py``). An interpreter that is not there is skipped, and that is said; so are the packages
that do not install there, without which tests are skipped. Each has an environment of its own beside the one that runs this,
which stays there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from tests.runs.checked import ROOT, run_tests
from tests.runs.roots import run_in_roots

_PURE: Final = "WSGI_CHEST_PURE_PYTHON"
_NOT_BUILT: Final = (
    "bcrypt,cffi,confluent-kafka,cryptography,duckdb,gevent,granian,greenlet,hypothesis,numpy,orjson,pandas,polars-runtime-32,psycopg-binary,"
    "pydantic-core,pynacl,rpds-py"
)
"""They want Rust or a library, or take many minutes: without a wheel they are left out. All else is built if it has none."""
_SAY_NAME: Final = """
import sys, sysconfig
print(f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}{'t' * bool(sysconfig.get_config_var('Py_GIL_DISABLED'))}")
"""
_SAY_KIND: Final = "import chest.native; print('compiled' if chest.native.IS_NATIVE else 'pure')"
_SAY_REFUSAL: Final = """
from importlib.util import spec_from_file_location, module_from_spec
spec = spec_from_file_location("build_hook", "chest/native/build_hook.py")
hook = module_from_spec(spec)
spec.loader.exec_module(hook)
try:
    hook.refuse_interpreter()
except RuntimeError as refusal:
    print(refusal)
"""


def main(wanted: list[str]) -> int:
    """Run the tests with each that is there; how many of the runs failed."""
    said: list[str] = []
    failed = 0
    for name in wanted:
        if Path(name).is_dir():
            failed += run_in_roots(Path(name), said)
            continue
        python = found(name)
        if python is None:
            said.append(f"Python {name}: SKIPPED, it is not on this machine")
            continue
        made = environment_of(python)
        if left_out := _left_out(made):
            said.append(f"Python {name}: WITHOUT {', '.join(left_out)}, which do not install there")
        refusal = _said(made, _SAY_REFUSAL)
        for kind in ("pure", "compiled"):
            if kind == "compiled" and refusal:
                said.append(f"Python {name}, compiled: SKIPPED, {refusal}")
                continue
            is_good = install(made, kind) and passes(made)
            said.append(f"Python {name}, {kind}: {'passed' if is_good else 'FAILED'}")
            failed += not is_good
    print(*said, sep="\n", flush=True)
    return failed


def found(name: str) -> Path | None:
    """The interpreter of this version or path, if there is one that starts; pyenv's are looked for too."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    if os.sep in name:
        candidates = [Path(name)]
    else:
        on_path = shutil.which(f"python{name}")
        candidates = [*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"{name}.*/bin/python"))]
    for each in candidates:
        if not each.exists():
            continue
        done = subprocess.run([each, "-c", _SAY_NAME], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return each
    return None


def environment_of(python: Path) -> Path:
    """The interpreter of an environment with all that the unit tests need and that installs there, made if it is not there."""
    home = Path(sys.prefix) / _said(python, _SAY_NAME)
    made, complete = home / "bin" / "python", home / "complete"
    if not complete.exists():
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
        _pip(made, "install", "--quiet", "--upgrade", "pip")
        _pip(made, "install", "--quiet", "--editable", ".")
        wanted = requirements_of_tests()
        wheels = ("install", "--quiet", "--prefer-binary", "--only-binary", _NOT_BUILT)
        left_out = []
        if not _installs(made, *wheels, *wanted):
            # A driver without its own copy of its library may find that of the system.
            pairs = {each: (each, re.sub(r"\[.*\]", "", each)) for each in wanted}
            found = {
                each: next((other for other in pair if _installs(made, *wheels, "--dry-run", other)), None)
                for each, pair in pairs.items()
            }
            left_out = [each for each, other in found.items() if each != other]
            _pip(made, *wheels, *filter(None, found.values()))
        complete.write_text("\n".join(left_out))
    return made


def requirements_of_tests() -> list[str]:
    """The group ``unit`` of ``pyproject.toml``, with the extras that it names written out."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    found: dict[str, None] = {}

    def add(requirements: list[str]) -> None:
        for each in requirements:
            name, _, names = each.partition("[")
            if name == project["project"]["name"]:
                for extra in names.rstrip("]").split(","):
                    add(extras[extra])
            else:
                found[each] = None

    add([*project["dependency-groups"]["unit"], *extras["demo"]])
    return list(found)


def install(made: Path, kind: str) -> bool:
    """Install Chest anew, compiled or not; False if that is not what came out."""
    _pip(made, *"install --quiet --no-deps --editable .".split(), **{_PURE: "1" if kind == "pure" else "0"})
    return _said(made, _SAY_KIND) == kind


def passes(made: Path) -> bool:
    """Run the tests of ``make quick``."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # which wants the compiled part
    environment |= {"QUICK_TESTS": "1", "PACKAGES_LEFT_OUT": ", ".join(_left_out(made))}
    if _said(made, _SAY_NAME).endswith("t"):
        environment["PYTHON_GIL"] = "0"  # else a package such as greenlet puts it in force again
    arguments = "-q -m unit -n 2 --dist worksteal".split()
    return run_tests([str(made), "-m", "pytest"], arguments, environment=environment) == 0


def _left_out(made: Path) -> list[str]:
    return (made.parent.parent / "complete").read_text().splitlines()


def _said(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _installs(made: Path, *arguments: str) -> bool:
    return subprocess.run([made, "-m", "pip", *arguments], cwd=ROOT, check=False).returncode == 0


def _pip(made: Path, *arguments: str, **more: str) -> None:
    subprocess.run([made, "-m", "pip", *arguments], cwd=ROOT, env=os.environ | more, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
