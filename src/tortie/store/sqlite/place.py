"""Where an embedded store may lie. Its processes share memory, so they must share a kernel: no network file systems."""

from __future__ import annotations

NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "coda", "beegfs")
)
NETWORK_FUSE = frozenset(("sshfs", "glusterfs", "ceph-fuse", "s3fs", "rclone", "davfs", "curlftpfs", "gcsfuse"))


def network_file_system(path: str, mountinfo: str) -> str | None:
    """The type of the network file system that holds the absolute path; None for a local one.

    `mountinfo` is the text of /proc/self/mountinfo: field 5 is the mount point, the type follows the lone dash.
    """
    best, kind = "/", None
    for line in mountinfo.splitlines():
        fields, dash, rest = line.partition(" - ")
        columns = fields.split(" ")
        if not dash or len(columns) < 5:
            continue
        point = _unescaped(columns[4])
        # Of two mounts on one point the later one is seen.
        if _within(path, point) and _within(point, best):
            best, kind = point, rest.split(" ")[0]
    if kind is None:
        return None
    return kind if kind in NETWORK_TYPES or kind.removeprefix("fuse.") in NETWORK_FUSE else None


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
