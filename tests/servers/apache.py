"""Apache 2.4 with mod_wsgi, both of Debian, whose Python it runs; the configuration is a test's own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.processes import ROOT
from tests.servers.process import HOST, Server, is_missing, needs_program, private_directory, running

_MODULES: Final = Path("/usr/lib/apache2/modules")
_USER: Final = "www-data"
_CONFIGURATION: Final = """\
ServerName localhost
PidFile {directory}/pid
Listen {host}:{port}
ErrorLog /dev/stderr
LogLevel warn
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {directory}/wsgi
{user}
{more}
"""


@contextmanager
def apache_directory() -> Iterator[Path]:
    """A directory for the block that the user of the daemon processes owns, with the packages that Chest needs in ``packages``."""
    _require_mod_wsgi()
    with private_directory(_USER) as directory:
        _copy_packages(directory / "packages")
        directory.chmod(0o755)
        yield directory


@contextmanager
def apache(directory: Path, configuration: str) -> Iterator[Server]:
    """Apache for the block.

    :param directory: of :func:`apache_directory`.
    :param configuration: lines about the applications.
    """
    program = needs_program("apache2", "apache2")
    user = f"User {_USER}\nGroup {_USER}" if os.geteuid() == 0 else ""

    def command(port: int) -> list[str]:
        file = directory / "apache2.conf"
        file.write_text(
            _CONFIGURATION.format(
                directory=directory, host=HOST, port=port, modules=_MODULES, user=user, more=configuration
            )
        )
        return [program, "-DFOREGROUND", "-d", str(directory), "-f", str(file)]

    with running("Apache", command, directory) as server:
        yield server


def _require_mod_wsgi() -> None:
    if not (_MODULES / "mod_wsgi.so").exists():
        is_missing("mod_wsgi", "apt-get install apache2 libapache2-mod-wsgi-py3 (make servers does)")
    asked = [needs_program("python3", "python3", "/usr/bin"), "-c", "import sys; print(*sys.version_info[:2])"]
    theirs = subprocess.run(["/usr/bin/python3", *asked[1:]], capture_output=True, text=True, check=True).stdout.split()
    if tuple(map(int, theirs)) != sys.version_info[:2]:
        pytest.skip(f"mod_wsgi runs Python {'.'.join(theirs)}, and the packages here are for another one")


def _copy_packages(target: Path) -> None:
    """What an installation without extras has; the user of the daemon processes may not be let into this checkout."""
    target.mkdir()
    shutil.copytree(ROOT / "chest", target / "chest", ignore=shutil.ignore_patterns("__pycache__"))
    waiting, seen = ["wsgi-chest"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another platform
            continue
        waiting += [
            required[0]
            for line in found.requires or ()
            if "extra ==" not in line and (required := re.match(r"[\w.-]+", line))
        ]
        if name != "wsgi-chest":
            _copy_distribution(found, target)


def _copy_distribution(found: importlib.metadata.Distribution, target: Path) -> None:
    for file in found.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), place)
