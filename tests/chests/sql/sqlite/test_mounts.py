"""Which file system a path lies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from chest.chests.sql.sqlite.mounts import doubtful_file_system

_MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:40 / /mnt/share rw,relatime shared:2 master:1 - nfs4 server:/export rw,vers=4.2
31 30 254:1 / /mnt/share/local rw,relatime - xfs /dev/sdb rw
32 22 0:41 / /mnt/with\040space rw - cifs //server/share rw
33 22 0:42 / /srv rw - ext4 /dev/sdc rw
34 22 0:43 / /srv rw - fuse.sshfs host:/srv rw
35 22 0:44 / /home rw - nfs server:/home rw
36 22 0:45 / /home rw - ext4 /dev/sdd rw
37 22 0:46 / /odd rw - somenewfs x rw
a line of some other format
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/share/chest.sqlite3", "nfs4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share2/chest.sqlite3", None),
        ("/mnt/share/local/chest.sqlite3", None),
        ("/mnt/with space/chest.sqlite3", "cifs"),
        ("/srv/chest.sqlite3", "fuse.sshfs"),
        ("/home/me/chest.sqlite3", None),
        ("/odd/chest.sqlite3", "somenewfs"),
        ("/chest.sqlite3", None),
    ],
)
def test_the_deepest_mount_and_of_these_the_last_says_it(tmp_path: Path, path: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(_MOUNTS)
    assert doubtful_file_system(Path(path), mounts) == kind


def test_a_link_is_followed_to_where_the_file_lies(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    (tmp_path / "there").mkdir()
    mounts.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path.resolve()}/there rw - nfs b rw\n")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert doubtful_file_system(tmp_path / "link" / "chest.sqlite3", mounts) == "nfs"


def test_where_mounts_are_not_listed_nothing_is_known(tmp_path: Path) -> None:
    assert doubtful_file_system(tmp_path, tmp_path / "absent") is None


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    doubtful_file_system(tmp_path)
