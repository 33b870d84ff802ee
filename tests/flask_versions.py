"""``python tests/flask_versions.py 2.3 3.0``: the adapter's tests with other releases of Flask, each in an environment of its own.

An environment holds that Flask and what it needs, and for everything else looks into the one that runs this: so it is made
in seconds. It lies beside that one, and stays there.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASES = {
    "2.3": ("flask==2.3.*", "werkzeug==2.3.*"),
    "3.0": ("flask==3.0.*", "werkzeug==3.0.*"),
}
"""The oldest that the adapter promises, and one between it and the newest, with which all tests run."""
CHECKED = (
    "tests/adapters/flask_chest",
    "--ignore=tests/adapters/flask_chest/test_database_chests.py",  # Flask has no part in them
    "-k=not uwsgi",  # it is built for one environment, and would take the Flask of that
)


def main(releases: list[str]) -> int:
    """Run the tests with each; the number of releases with which they fail."""
    failed = 0
    for release in releases or RELEASES:
        python = environment_of(release)
        code = "from importlib.metadata import version as v; print('Flask', v('flask'), 'Werkzeug', v('werkzeug'))"
        subprocess.run([python, "-c", code], check=True)
        failed += subprocess.run([python, "-m", "pytest", "-q", *CHECKED], cwd=ROOT, check=False).returncode != 0
    return failed


def environment_of(release: str) -> str:
    """The Python of the environment with this Flask, made if it is not there."""
    home = Path(sys.prefix) / f"flask-{release}"
    python, complete = str(home / "bin" / "python"), home / "complete"
    if not complete.exists():
        venv.create(home, clear=True, symlinks=True, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        subprocess.run([*pip, *RELEASES[release]], check=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
        (Path(packages) / "rest.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        complete.touch()
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
