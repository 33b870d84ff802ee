"""Guards of the house: what is public, what an import does and loads, what is in the wheel."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import chest
from chest.native import IS_NATIVE

ROOT = Path(__file__).parent.parent
ADAPTERS = ROOT / "adapters"
PACKAGES = {ROOT / "chest": ROOT, **{file.parent: ADAPTERS for file in sorted(ADAPTERS.glob("*/__init__.py"))}}
"""Each import package, and the directory that it is imported from."""
ROOT_OF = {file: root for package, root in PACKAGES.items() for file in package.rglob("*.py")}
MODULES = sorted(ROOT_OF)
_BUILD_SECONDS = 800

DRIVERS_AND_FRAMEWORKS = (
    "sqlalchemy",
    "sqlite3",
    "psycopg",
    "pymysql",
    "flask",
    "werkzeug",
    "gunicorn",
    "click",
    "rich",
    "confluent_kafka",
    "pymongo",
    "bson",
    "influxdb_client",
    "httpx",
    "apscheduler",
    "blinker",
    "prometheus_client",
    "nacl",
    "google.protobuf",
)


def _name_of(file: Path) -> str:
    parts = file.relative_to(ROOT_OF[file]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _python(code: str, *arguments: str, home: Path) -> str:
    """What the code prints in a process of its own, in an empty directory."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=home,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ADAPTERS}", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("module", ["chest", "chest.adapter"])
def test_importing_loads_no_driver_and_no_framework(module: str, tmp_path: Path) -> None:
    code = f"import sys, {module}; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    assert _python(code, *DRIVERS_AND_FRAMEWORKS, home=tmp_path).split() == []


@pytest.mark.parametrize(
    ("module", "framework"),
    [
        ("flask_chest", "Flask"),
        ("flask_chest.dockerflow", "Flask"),
        ("django_chest", "Django"),
        ("bottle_chest", "Bottle"),
    ],
)
def test_an_adapter_without_its_framework_says_what_to_install(module: str, framework: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["{framework.lower()}"] = None
try:
    import {module}
except ImportError as error:
    print(error)
"""
    package = module.partition(".")[0]
    said = f"{package} needs {framework}: pip install 'wsgi-chest[{framework.lower()}]'\n"
    assert _python(code, home=tmp_path) == said


_WATCHED_IMPORT = """
import _thread, atexit, importlib, os, signal, sys, threading
import concurrent.futures.thread, logging

def is_ours(depth=2):
    # Whether chest's own code, and not a package that it imports, stands behind what happens now.
    frame = sys._getframe(depth)
    while frame is not None and frame.f_globals.get("__name__", "") in ("os", "logging", "threading", "collections.abc"):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0].endswith("chest")

class WatchedEnvironment(type(os.environ)):
    def __getitem__(self, name):
        if is_ours():
            print("reads the environment:", name)
        return super().__getitem__(name)

    def __iter__(self):
        if is_ours():
            print("reads the environment")
        return super().__iter__()

os.environ.__class__ = WatchedEnvironment

def watched(module, name):
    function = getattr(module, name)
    def call(*args, **kwargs):
        if is_ours():
            print(f"calls {module.__name__}.{name}")
        return function(*args, **kwargs)
    setattr(module, name, call)

for module, names in (
    (_thread, ["start_new_thread"]), (threading, ["_start_new_thread"]), (atexit, ["register"]),
    (os, ["register_at_fork"] if hasattr(os, "register_at_fork") else []), (signal, ["signal"]),
):
    for name in names:
        watched(module, name)

def audit(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        print("writes a file:", args[0])
    elif event == "open" and args[1] is None and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        print("writes a file:", args[0])
    elif event in ("os.mkdir", "os.rename", "os.remove", "sqlite3.connect"):
        print(event, *args)
    elif event in ("socket.connect", "socket.bind") and is_ours():  # urllib3 looks whether the machine has IPv6
        print(event, *args)

sys.addaudithook(audit)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*["thread: " + thread.name for thread in threading.enumerate() if thread is not threading.main_thread()])
loggers = [logging.root, *map(logging.getLogger, [name for name in logging.root.manager.loggerDict if "chest" in name])]
print(*["handler: " + logger.name for logger in loggers if logger.handlers or logger.level not in (0, logging.WARNING)])
"""


@pytest.mark.parametrize("package", sorted(package.name for package in PACKAGES))
def test_importing_has_no_side_effect(package: str, tmp_path: Path) -> None:
    assert _python(_WATCHED_IMPORT, package, home=tmp_path).split() == []
    assert list(tmp_path.iterdir()) == []


def test_importing_any_module_has_no_side_effect(tmp_path: Path) -> None:
    # But for the program itself, and for what is for pytest: it asks for asserts to be rewritten.
    names = [_name_of(file) for file in MODULES if file.name != "__main__.py" and "testing" not in file.parts]
    assert _python(_WATCHED_IMPORT, *names, home=tmp_path).split() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        ("import os; os.environ['HOME']", "reads the environment: HOME"),
        ("import os; os.environ.get('HOME')", "reads the environment: HOME"),
        ("import threading; threading.Thread(target=print).start()", "calls threading._start_new_thread"),
        ("import atexit; atexit.register(print)", "calls atexit.register"),
        ("import logging; logging.basicConfig()", "handler: root"),
        ("import pathlib; pathlib.Path('file').touch()", "writes a file: file"),
        ("import pathlib; pathlib.Path('directory').mkdir()", "os.mkdir directory"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
    ],
)
def test_the_guard_against_side_effects_sees_them(effect: str, said: str, tmp_path: Path) -> None:
    package = tmp_path / "chest"
    package.mkdir()
    (package / "__init__.py").write_text(effect)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{_WATCHED_IMPORT}"
    assert said in _python(code, "chest", home=tmp_path)


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "common", "helpers", "internal", "misc"}
    assert [_name_of(file) for file in MODULES if file.stem.strip("_") in drawers] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as pip builds it."""
    directory = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(ROOT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stdout
    return zipfile.ZipFile(next(directory.glob("*.whl")))


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package.name}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_the_wheel_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {file.relative_to(root).as_posix() for file, root in ROOT_OF.items()} - {"chest/native/build_hook.py"}
    compiled = {f"chest/native/_native{sysconfig.get_config_var('EXT_SUFFIX')}"} if IS_NATIVE else set()
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    of_the_page = {file.relative_to(ROOT).as_posix() for file in (ROOT / "chest/dashboard/static").iterdir()}
    assert held == modules | compiled | of_the_page | {"chest/native/_native.pyi"} | {
        f"{package.name}/py.typed" for package in PACKAGES
    }


def test_the_wheel_installs_the_command_and_carries_licence_and_readme(wheel: zipfile.ZipFile) -> None:
    about = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "chest = chest.cli.main:main" in about["entry_points.txt"]
    assert about["LICENSE"] == (ROOT / "LICENSE").read_text()
    first_screen = (ROOT / "README.md").read_text().partition("```console")[0]
    assert first_screen in about["METADATA"]
    assert not re.search(r"\]\((?!https?://|#)", about["METADATA"])  # an index has no files beside the description


def test_the_version_of_the_package_is_that_of_the_distribution(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).name.startswith(f"wsgi_chest-{chest.__version__}-")


def test_no_module_has_more_than_300_lines_and_no_folder_more_than_16_modules() -> None:
    sources = [*MODULES, *(ROOT / "chest" / "native").rglob("*.[ch]")]
    assert [file for file in sources if len(file.read_text().splitlines()) > 300] == []
    folders = Counter(file.parent for file in [*sources, *(ROOT / "tests").rglob("*.py")])
    assert [folder for folder, modules in folders.items() if modules > 16] == []


LOG_LEVELS = ("info", "warning", "error", "exception", "critical")


def _logged_texts(tree: ast.AST) -> Iterator[str]:
    """What the module logs at these levels, so far as it says it in the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_LEVELS:
            logger = ast.unparse(node.func.value).rpartition(".")[2].strip("_)")
            if logger in ("log", "logger", "LOGGER") or logger.endswith("DEFAULT_LOGGER"):
                text = node.args[0] if node.args else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value:
                    yield text.value


def test_each_line_of_the_log_names_the_product() -> None:
    """It stands in the log of an application or a server, whose format may not show the logger's name."""
    found = {(_name_of(module), text) for module in MODULES for text in _logged_texts(ast.parse(module.read_text()))}
    assert len(found) > 20
    unnamed = {(name, text) for name, text in found if not text.startswith("chest: ")}
    assert unnamed == {("flask_chest.dockerflow.hooks", "%s")}, "python-dockerflow's request.summary says what it says"
