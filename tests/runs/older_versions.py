"""``python -m tests.runs.older_versions flask-2.3``: tests with older Flask and SQLAlchemy, each in an environment of its own.

All other tests run with the newest. An environment holds the older release and what it needs, and for everything else looks
into the one that runs this: so it is made in seconds. It lies beside that one, and stays there. They all run at the same
time: most of their tests wait for a server.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.runs.checked import ROOT

_OF_FLASK = (
    "tests/adapters/flask_chest",
    # Flask has no part in these.
    "--ignore=tests/adapters/flask_chest/chests/test_chests.py",
    "--ignore=tests/adapters/flask_chest/chests/test_database_chests.py",
    "--ignore=tests/adapters/flask_chest/test_exporters.py",
    "-k=not uwsgi",  # it is built for one environment, and would take the Flask of that
)
_OF_SQLALCHEMY = (
    "tests/chests/sql/servers/test_contract.py",
    "tests/chests/sql/servers/test_rows.py",
    "tests/chests/sql/servers/test_variables.py",
    "tests/chests/sql/test_url.py",
    "-k=not mysql57 and not (mariadb and Contract)",  # MariaDB has the same driver, and nothing of its own in the contract
)


class Older(NamedTuple):
    """Releases that Chest promises to work with, and the tests in which they can make a difference."""

    requirements: tuple[str, ...]
    tests: tuple[str, ...]


# Of the extensions that the adapter knows, the oldest releases that work with Flask 2.3.
_EXTENSIONS = (
    "flask-login==0.6.2", "flask-httpauth==4.4.0", "flask-limiter==3.0.0", "flask-wtf==1.2.0", "flask-socketio==5.3.0",
)  # fmt: skip

VERSIONS = {
    # The oldest that the adapter promises.
    "flask-2.3": Older(("flask==2.3.*", "werkzeug==2.3.*", *_EXTENSIONS), _OF_FLASK),
    # One between it and the newest: what works under servers with both is not started with it.
    "flask-3.0": Older(("flask==3.0.*", "werkzeug==3.0.*"), (*_OF_FLASK, "-m", "unit")),
    "sqlalchemy-2.0": Older(("sqlalchemy==2.0.*",), _OF_SQLALCHEMY),  # the oldest that ``[sql]`` allows
    # The oldest of frameworks and queues, under gunicorn and with workers. Falcon has no error reporter before 4.4, which its example uses.
    "frameworks": Older(
        ("django==4.2.*", "bottle==0.13.*", "pyramid==2.0.*"),
        ("tests/adapters/test_framework_examples.py", "-k=not falcon"),
    ),
    "jobs": Older(("celery==5.3.*", "rq==1.16.*", "huey==2.5.*"), ("tests/adapters/test_job_queues.py",)),
}


# What is no driver or framework of an application's: the runner of these tests, and servers.
_NOT_LOWERED = frozenset(("pytest", "gunicorn", "wsgi-chest"))


def oldest() -> Older:
    """The oldest release of each dependency that ``pyproject.toml`` allows: the one that its lower bound names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    bounds = {re.sub(r">=([\w.]+).*", r"==\1", each.partition(";")[0].strip()) for texts in lists for each in texts}
    lowered = sorted(each for each in bounds if re.split(r"[^\w-]", each)[0] not in _NOT_LOWERED)
    # The oldest Flask-Limiter wants an older rich than the commands do; the newest works with Flask 2.3.
    of_flask = [each for each in VERSIONS["flask-2.3"].requirements[1:] if not each.startswith("flask-limiter")]
    return Older((*lowered, *of_flask), ("-m", "unit"))


def main(names: list[str]) -> int:
    """Run the tests with each; the number of environments in which they fail."""
    older = {name: oldest() if name == "oldest" else VERSIONS[name] for name in names or VERSIONS}
    pythons = {name: environment_with(name, each.requirements) for name, each in older.items()}
    running = {name: _started(python, older[name]) for name, python in pythons.items()}
    failed = 0
    for name, process in running.items():
        said = process.communicate()[0]
        print(f"--- {name} ---", said, sep="\n", flush=True)
        failed += process.returncode != 0
    return failed


def environment_with(name: str, requirements: Sequence[str]) -> str:
    """The Python of the environment of this name with these packages, made if it is not there."""
    home = Path(sys.prefix) / name
    python, complete = str(home / "bin" / "python"), home / "complete"
    wanted = "\n".join(requirements)
    if not complete.exists() or complete.read_text() != wanted:
        venv.create(home, clear=True, symlinks=True, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        subprocess.run([*pip, *requirements], check=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
        (Path(packages) / "rest.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        complete.write_text(wanted)
    return python


def _started(python: str, older: Older) -> subprocess.Popen[str]:
    """The tests of one environment; it would be of no use if the newest release were found in it."""
    package, _, release = older.requirements[0].partition("==")
    code = f"from importlib.metadata import version as v; assert v({package!r}).startswith({release.rstrip('*')!r}), v({package!r})"
    subprocess.run([python, "-c", code], check=True)
    pytest = [python, "-m", "tests.runs.checked", "-q", "-n", "2", "--dist", "worksteal", *older.tests]
    environment = os.environ | {
        # The newest platformdirs, of the environment below, names a plug-in of pytest's that the oldest has not.
        "PYTEST_ADDOPTS": "-p no:platformdirs",
        # Commands, too, are those of the environment below.
        "PATH": os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"])),
    }
    return subprocess.Popen(
        pytest, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
