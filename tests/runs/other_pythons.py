"""``python -m tests.runs.other_pythons 3.12 3.13``: the tests of ``make quick`` on other interpreters, pure and compiled.

An argument is a version, or the path of an interpreter. An interpreter that is not there is skipped, and that is said. Each has
an environment of its own beside the one that runs this, which stays there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.runs.checked import run_tests

ROOT: Final = Path(__file__).resolve().parents[2]
_PURE: Final = "WSGI_CHEST_PURE_PYTHON"
_SAY_VERSION: Final = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
_SAY_KIND: Final = "import chest.native; print('compiled' if chest.native.IS_NATIVE else 'pure')"


def main(wanted: list[str]) -> int:
    """Run the tests with each that is there; how many of the runs failed."""
    said: list[str] = []
    failed = 0
    for name in wanted:
        python = found(name)
        if python is None:
            said.append(f"Python {name}: SKIPPED, it is not on this machine")
            continue
        made = environment_of(python)
        for kind in ("pure", "compiled"):
            is_good = install(made, kind) and passes(made)
            said.append(f"Python {name}, {kind}: {'passed' if is_good else 'FAILED'}")
            failed += not is_good
    print(*said, sep="\n", flush=True)
    return failed


def found(name: str) -> Path | None:
    """The interpreter of this version or path, if there is one that starts; pyenv's are looked for too."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    by_name = shutil.which(name if os.sep in name else f"python{name}")
    for each in (*([Path(by_name)] if by_name else []), *sorted(pyenv.glob(f"{name}.*/bin/python"))):
        done = subprocess.run([each, "-c", _SAY_VERSION], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return each
    return None


def environment_of(python: Path) -> Path:
    """The interpreter of an environment with all that the unit tests need, made if it is not there."""
    version = subprocess.run([python, "-c", _SAY_VERSION], capture_output=True, text=True, check=True).stdout.strip()
    home = Path(sys.prefix) / f"python-{version}"
    made, complete = home / "bin" / "python", home / "complete"
    if not complete.exists():
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
        _pip(made, "install", "--quiet", "--upgrade", "pip")
        _pip(made, "install", "--quiet", "--editable", ".[demo]", "--group", "unit")
        complete.touch()
    return made


def install(made: Path, kind: str) -> bool:
    """Install Chest anew, compiled or not; False if that is not what came out."""
    _pip(made, *"install --quiet --no-deps --editable .".split(), **{_PURE: "1" if kind == "pure" else "0"})
    done = subprocess.run([made, "-c", _SAY_KIND], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip() == kind


def passes(made: Path) -> bool:
    """Run the tests of ``make quick``."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # which wants the compiled part
    environment["QUICK_TESTS"] = "1"
    arguments = "-q -m unit -n 2 --dist worksteal".split()
    return run_tests([str(made), "-m", "pytest"], arguments, environment=environment) == 0


def _pip(made: Path, *arguments: str, **more: str) -> None:
    subprocess.run([made, "-m", "pip", *arguments], cwd=ROOT, env=os.environ | more, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
