"""The packages of npm that the page is built and checked with; installed outside the checkout, see ``install_servers.sh``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from tests.processes import ROOT
from tests.servers.process import is_missing

_SERVERS: Final = os.environ.get("SERVERS_FOR_TESTS", "/usr/local/lib/chest-servers")
_DIRECTORIES: Final = (ROOT / "ui" / "node_modules", Path(_SERVERS) / "page" / "node_modules")
"""Where a developer of the page has them, and where ``make servers`` installs them."""


def node_modules() -> Path:
    """The directory in which all of them are, each in the version that ``ui/package.json`` names."""
    if shutil.which("node") is None:
        is_missing("node", "make servers")
    about = json.loads((ROOT / "ui" / "package.json").read_text())
    wanted = about["dependencies"] | about["devDependencies"]
    for directory in _DIRECTORIES:
        if all(_version_in(directory / name) == version for name, version in wanted.items()):
            return directory
    return is_missing("what ui/package.json names", "make servers, or: cd ui && npm install --no-package-lock")


def _version_in(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_text())["version"])
    except OSError:
        return None
