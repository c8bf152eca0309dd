"""Where an embedded store may lie. Its processes share memory, so they must share a kernel: no network file systems."""

from __future__ import annotations

from pathlib import PurePosixPath

NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "coda", "beegfs")
)
NETWORK_FUSE = frozenset(("sshfs", "glusterfs", "ceph-fuse", "s3fs", "rclone", "davfs", "curlftpfs", "gcsfuse"))


def network_file_system(path: PurePosixPath, mountinfo: str) -> str | None:
    """The type of the network file system that holds the absolute path; None for a local one.

    `mountinfo` is the text of /proc/self/mountinfo: field 5 is the mount point, the type follows the lone dash.
    """
    best, kind = PurePosixPath("/"), None
    for line in mountinfo.splitlines():
        fields, dash, rest = line.partition(" - ")
        columns = fields.split(" ")
        if not dash or len(columns) < 5:
            continue
        point = PurePosixPath(_unescaped(columns[4]))
        # Of two mounts on one point the later one is seen.
        if path.is_relative_to(point) and point.is_relative_to(best):
            best, kind = point, rest.split(" ")[0]
    if kind is None:
        return None
    return kind if kind in NETWORK_TYPES or kind.removeprefix("fuse.") in NETWORK_FUSE else None


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
