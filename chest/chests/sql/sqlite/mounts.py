"""Which file system a path lies on, and whether SQLite's locks are reliable on it: only on a local one.

Source: "SQLite Over a Network, Caveats and Considerations" and "Write-Ahead Logging" on sqlite.org: WAL needs memory
that all processes share, hence one host; locks of network file systems are often broken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Linux: one line a mount, proc_pid_mountinfo(5). Not there on other platforms, which are not looked at."""

_LOCAL: Final = frozenset(
    {
        "bcachefs",
        "btrfs",
        "erofs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfsplus",
        "jfs",
        "nilfs2",
        "ntfs3",
        "overlay",
    }
    | {"ramfs", "reiserfs", "rootfs", "tmpfs", "ubifs", "vfat", "xfs", "zfs"}
)
"""What is known to lie in one machine. Whatever else there is, over a network or of a kind not seen yet, is warned of."""


class _Mount(NamedTuple):
    point: str
    kind: str


def doubtful_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that holds the path, if it is not known to be a local one; None if it cannot be told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    holding = [
        mount for mount in map(_mount, lines) if mount is not None and _holds(mount.point, os.path.realpath(path))
    ]
    # Of mounts on the same point, the last is on top.
    kind = max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1].kind if holding else ""
    return kind if kind and kind not in _LOCAL else None


def _mount(line: str) -> _Mount | None:
    place, separator, source = line.partition(" - ")
    fields = place.split(" ")
    if not separator or len(fields) < 5:
        return None
    return _Mount(_unescaped(fields[4]), source.split(" ")[0])


def _unescaped(text: str) -> str:
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
