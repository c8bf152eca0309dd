"""The file system of one host: an overlay of the machine's `/`, with everything that must be the host's own made anew.

Runs in the host's mount namespace, before its process 1 takes up its work; the mounts end with that namespace.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab import linux
from tortie.lab.documents import FILES, Document, Placed
from tortie.lab.files import File
from tortie.lab.plan import Host

REAL_FILE_SYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "squashfs", "erofs", "vfat", "fuseblk"}
    | {"nfs", "nfs4", "cifs", "9p", "virtiofs", "vboxsf"}
)
NOT_BROUGHT_IN = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/root",
    "/boot",
    "/snap",
    "/var/lib/docker",
    "/var/lib/containerd",
)
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
    "fuse": (10, 229),
    "net/tun": (10, 200),
    "loop-control": (10, 237),
}
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
OWN_DATA = {
    "root": ("/root", 0o700),
    "tmp": ("/tmp", 0o1777),
    "docker": ("/var/lib/docker", 0o710),
    "mesos": ("/var/lib/mesos", 0o755),
    "tortie": ("/var/lib/tortie", 0o755),
    "log": ("/var/log/tortie", 0o755),
}
"""A host's own directories on the real file system: its data's name -> (where the host sees it, mode)."""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """`data`: the host's directory on the real file system; `run`: seen inside as /run/lab; `store`: of all hosts;
    `keep`: paths that programs of ours need and that must be seen inside at the same place; `shared`: more directories
    of the machine, each with the path at which this host sees and writes it."""

    data: Path
    run: Path
    store: Path
    keep: Sequence[Path]
    shared: Sequence[tuple[str, str]] = ()


def submounts(mountinfo: str, own: Path) -> list[str]:
    """The mount points of real file systems below / that a host should see, outermost first."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, kind = left.split()[4].encode().decode("unicode_escape"), right.split()[0]
        hidden = any(point == path or point.startswith(path + "/") for path in (*NOT_BROUGHT_IN, str(own)))
        if point != "/" and kind in REAL_FILE_SYSTEMS and not hidden and point not in found:
            found.append(point)
    return sorted(found, key=lambda point: point.count("/"))


def build(files: HostFiles) -> Path:
    """Mount a host's whole file system; the answer is its root, not yet entered."""
    root = files.data / "rootfs"
    _overlay("/", root, files.data / "layers" / "root")
    for n, point in enumerate(submounts(Path("/proc/self/mountinfo").read_text(), files.data.parent.parent)):
        _bring_in(point, root, files.data / "layers" / str(n))
    _without_units(root / "etc/systemd/system")
    _kernel_files(root)
    _devices(root / "dev")
    linux.mount("tmpfs", f"{root}/run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    for name in ("lock", "lab", "docker/plugins", "tortie", "netns", "sshd"):
        (root / "run" / name).mkdir(parents=True)
    _bind(files.run, root / "run/lab")
    # Other hosts' layers are nobody's business here.
    linux.mount("tmpfs", f"{root}{files.data.parent.parent}", "tmpfs", linux.MS_RDONLY, "size=4k")
    for name, (where, mode) in OWN_DATA.items():
        (files.data / name).mkdir(exist_ok=True)
        (files.data / name).chmod(mode)
        _bind(files.data / name, root / where.lstrip("/"))
    _bind(files.store, root / "var/lib/tortie/store")
    for source, at in files.shared:
        _bind(Path(source), root / at.lstrip("/"))
    for path in files.keep:
        if not (root / str(path).lstrip("/")).exists():
            _bind(path, root / str(path).lstrip("/"))
    return root


def _overlay(lower: str, at: Path, layers: Path) -> None:
    for path in (at, layers / "upper", layers / "work"):
        path.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={layers}/upper,workdir={layers}/work"
    try:
        linux.mount("overlay", str(at), "overlay", 0, options)
    except OSError as error:
        raise Unavailable(f"cannot lay an overlay over {lower} with its upper layer in {layers}: {error}") from error


def _bring_in(point: str, root: Path, layers: Path) -> None:
    """A file system mounted below /: overlaid like / itself, or, where it cannot be a lower layer, read-only."""
    at = root / point.lstrip("/")
    if not Path(point).is_dir():
        return
    try:
        _overlay(point, at, layers)
    except Unavailable:
        linux.mount(point, str(at), "", linux.MS_BIND)
        linux.mount("none", str(at), "", linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY)


def _without_units(folder: Path) -> None:
    """The machine's own units are none of the host's."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _bind(source: Path, at: Path) -> None:
    if source.is_dir():
        at.mkdir(parents=True, exist_ok=True)
    else:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.touch()
    linux.mount(str(source), str(at), "", linux.MS_BIND | linux.MS_REC)


def _kernel_files(root: Path) -> None:
    """/proc of the host's processes, /sys of its network, the machine's cgroups for its engine."""
    linux.mount("proc", f"{root}/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("sysfs", f"{root}/sys", "sysfs", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("/sys/fs/cgroup", f"{root}/sys/fs/cgroup", "", linux.MS_BIND | linux.MS_REC)


def _devices(dev: Path) -> None:
    linux.mount("tmpfs", str(dev), "tmpfs", linux.MS_NOSUID, "mode=755")
    for name, (major, minor) in DEVICES.items():
        path = dev / name
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        path.chmod(0o666)
    for name, target in DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    linux.mount("devpts", f"{dev}/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    (dev / "shm").mkdir()
    linux.mount("tmpfs", f"{dev}/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")


def documents(host: Host, document: Document) -> list[File]:
    """The document's files, on the hosts where people type and tasks look for them; scripts can be run."""
    return [
        _placed(path, placed)
        for placed in document.files
        if host.role in placed.roles
        for path in sorted(FILES.glob(placed.pattern))
        if path.is_file()
    ]


def _placed(path: Path, placed: Placed) -> File:
    text = path.read_text()
    for placeholder, value in placed.filled:
        text = text.replace(placeholder, value)
    return File(f"{placed.at}/{path.name}", text, 0o755 if text.startswith("#!") else 0o644)


def put(root: Path, files: Sequence[File]) -> None:
    """Write them below `root`. Links on the way in are replaced, never followed out of it."""
    for file in files:
        at = root / file.path.lstrip("/")
        if file.path.endswith("/"):
            at.mkdir(parents=True, exist_ok=True)
            continue
        # What is private is not for everybody's eyes, and ssh refuses a folder that is.
        at.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if file.mode & 0o077 else 0o700)
        before = at.read_text() if file.append and at.is_file() else ""
        at.unlink(missing_ok=True)
        if file.link:
            at.symlink_to(file.link)
            continue
        at.write_text(before + file.text)
        at.chmod(file.mode)
