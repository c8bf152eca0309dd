"""Which mount holds a path, and whether that is a network file system."""

from __future__ import annotations

import pytest

from tortie.store.sqlite.place import network_file_system

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/share rw - nfs4 server:/export rw
31 22 0:41 / /mnt/with\040space rw - cifs //server/x rw
32 30 8:2 / /mnt/share/local rw - xfs /dev/sdb rw
33 22 0:42 / /home rw - fuse.sshfs host: rw
34 22 0:43 / /data rw - fuse.mergerfs x rw
35 22 0:44 / /twice rw - ext4 /dev/sdc rw
36 22 0:45 / /twice rw - nfs server:/x rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/tortie/store", None),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/shared", None),
        ("/mnt/share/local/a", None),
        ("/mnt/with space/a", "cifs"),
        ("/home/me", "fuse.sshfs"),
        ("/data/x", None),
        ("/twice/x", "nfs"),
    ],
)
def test_the_innermost_and_latest_mount_decides(path: str, kind: str | None) -> None:
    assert network_file_system(path, MOUNTS) == kind
