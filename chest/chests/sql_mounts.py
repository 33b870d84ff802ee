"""Which file system a path lies on, and whether that is one over a network, where SQLite's locks are not to be trusted.

Source: "SQLite Over a Network, Caveats and Considerations" and "Write-Ahead Logging" on sqlite.org: WAL needs memory
that all processes share, hence one host; locks of network file systems are often broken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Linux: one line a mount, proc_pid_mountinfo(5). Not there on other platforms, which are not looked at."""

_OVER_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3", "smbfs", "vboxsf"}
)


class _Mount(NamedTuple):
    point: str
    kind: str


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that holds the path, when it is one over a network; None when not, or not known."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    holding = [
        mount for mount in map(_mount, lines) if mount is not None and _holds(mount.point, os.path.realpath(path))
    ]
    # Of mounts on the same point, the last is on top.
    kind = max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1].kind if holding else ""
    return kind if kind in _OVER_NETWORK else None


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
