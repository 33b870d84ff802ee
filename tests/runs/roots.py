"""Interpreters of other systems: each folder of a folder of roots is a whole system, as ``debootstrap`` makes one.

``tests/runs/other_pythons.py`` runs again inside of each, by ``chroot``, over this very checkout. What is mounted for that is gone
when it ends; environments stay in the root. A root wants a network as pip needs it (``/etc/resolv.conf``, pip's own settings), a
compiler, the headers and ``venv`` of each interpreter, and ``libpq5``.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from tests.runs.checked import ROOT

_PYTHON: Final = re.compile(r"python3\.\d+t?|pypy3")
_ENTER: Final = """
set -e
root=$1 checkout=$2
shift 2
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$checkout"
mount --bind "$checkout" "$root$checkout"
exec chroot "$root" "$@"
"""


def run_in_roots(folder: Path, said: list[str]) -> int:
    """Run the tests with each interpreter of each root in the folder; in how many roots they failed.

    :param folder: of the roots.
    :param said: what was skipped, and how each went, one line each, is added.
    """
    roots = [each.resolve() for each in sorted(folder.iterdir()) if (each / "usr/bin").is_dir()]
    if not roots:
        said.append(f"{folder}: SKIPPED, there is no root in it")
    elif os.geteuid() != 0:
        said.append(f"{folder}: SKIPPED, chroot is for root alone")
        return 0
    failed = 0
    for root in roots:
        pythons = interpreters_of(root)
        if not pythons:
            said.append(f"{root}: SKIPPED, there is no Python in it")
            continue
        status = subprocess.run(command_in(root, pythons), env=_environment(), check=False).returncode
        said.append(f"{root}: {' '.join(pythons)}: {'FAILED' if status else 'passed'} (each is said above)")
        failed += status != 0
    return failed


def interpreters_of(root: Path) -> list[str]:
    """The paths, inside the root, of its interpreters."""
    places = ("usr/bin", "usr/local/bin")
    return [
        f"/{place}/{each.name}"
        for place in places
        for each in sorted((root / place).glob("p*"))
        if _PYTHON.fullmatch(each.name)
    ]


def command_in(root: Path, pythons: list[str]) -> list[str]:
    """The command that enters the root and runs the tests with these interpreters, in a mount namespace of its own."""
    is_32_bit = Path(root, pythons[0].lstrip("/")).read_bytes()[4] == 1  # a byte of each ELF file
    return [
        *(["setarch", "i686"] if is_32_bit else []),
        *("unshare", "--mount", "sh", "-c", _ENTER, "sh", str(root), str(ROOT)),
        *("sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), pythons[0], "-m", "tests.runs.other_pythons", *pythons),
    ]


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
