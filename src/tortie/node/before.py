"""What a host was before the node changed it, written down before the first change, and given back at the end."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import sysctl
from tortie.node.giveback import File, Record, Setting, sides

FOLDER = Path("/var/lib/tortie/node")
HOST, FILES = "host.json", "files.json"
SO_NETNS_COOKIE = 71
CONFIGURED = ("/run/sysctl.d", "/etc/sysctl.d", "/usr/lib/sysctl.d")

log = logging.getLogger("tortie.node")


class Before:
    """What the agent changes beyond its table, routes and tunnels. Nothing is written twice: what was there before the
    first change counts."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self._path = folder / HOST
        self._said = ""

    def record(self) -> Record:
        """What is true of this boot and this network namespace. Unavailable when it cannot be read."""
        return read(self._path).at(world())

    def store(self, record: Record) -> None:
        """On the disk when it returns; OSError."""
        write(self._path, record)

    def notes(self) -> list[Path]:
        """Its own files."""
        return _there([_beside(self._path), self._path])

    def write(self, settings: Mapping[str, str]) -> dict[str, str]:
        """`sysctl.write`, behind a note of what was there. A host that cannot keep the note gets its settings."""
        changing = {
            name: (have, value)
            for name, value in settings.items()
            if (have := sysctl.text(name)) is not None and have != value
        }
        if changing:
            self._note(changing)
        return sysctl.write(settings)

    def change(self, name: str, old: str, new: str) -> dict[str, str]:
        """`sysctl.change`, likewise."""
        return self.write({name: new}) if sysctl.text(name) == old else {}

    def take(self, link: str) -> None:
        """An interface that is the kernel's own and lay idle is used from now on."""
        self._keep(lambda record: replace(record, links=(*dict.fromkeys((*record.links, link)),)))

    def folders(self, files: Iterable[Path]) -> None:
        """The folders of these files, those that are not there yet: they are about to be made."""
        missing = missing_folders(files)
        if missing:
            self._keep(lambda record: replace(record, folders=(*dict.fromkeys((*record.folders, *missing)),)))

    def _note(self, changing: Mapping[str, tuple[str, str]]) -> None:
        found = sysctl.interfaces()

        def noted(record: Record) -> Record:
            new = {name: _setting(name, *values, found) for name, values in changing.items()}
            return replace(record, settings={**new, **record.settings})

        self._keep(noted)

    def _keep(self, change: Callable[[Record], Record]) -> None:
        try:
            record = self.record()
            if (changed := change(record)) != record:
                self.store(changed)
        except (Unavailable, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                log.warning("what this host was before is not written down: %s", error)


class Files:
    """Files that a command puts in place where others look for them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._kept = folder / "kept"
        self._path = folder / FILES

    def record(self) -> Record:
        return read(self._path)

    def store(self, record: Record) -> None:
        write(self._path, record)

    def notes(self) -> list[Path]:
        """Its own files. What tells of the others comes first: without them it would tell wrong."""
        return [*_there([self._path, _beside(self._path)]), *self._kept.glob("*")]

    def keep(self, paths: Sequence[Path]) -> None:
        """What is there, before others are put in their place: once for each. Unavailable."""
        try:
            record = self.record()
            new = {str(path): self._kept_of(path) for path in paths if str(path) not in record.files}
            folders = (*dict.fromkeys((*record.folders, *missing_folders(paths))),)
            if new or folders != record.folders:
                self.store(replace(record, files={**record.files, **new}, folders=folders))
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error

    def placed(self, path: Path) -> None:
        """What lies there now is ours. Unavailable."""
        record = self.record()
        file = replace(record.files[str(path)], ours=digest(path) or "")
        try:
            self.store(replace(record, files={**record.files, str(path): file}))
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error

    def _kept_of(self, path: Path) -> File:
        """A link is kept as what it is: where it leads may be changed by others meanwhile, and lead nowhere."""
        if path.is_symlink():
            return File(link=os.readlink(path))
        try:
            data, mode = path.read_bytes(), path.stat().st_mode & 0o7777
        except FileNotFoundError:
            return File()
        target = self._kept / hashlib.sha256(str(path).encode()).hexdigest()[:16]
        put(target, data, mode)
        return File(str(target))


def _setting(name: str, before: str, ours: str, interfaces: Sequence[str]) -> Setting:
    beside = {
        side: (have, value) for side, value in sides(name, ours, interfaces).items() if (have := sysctl.text(side))
    }
    return Setting(before, ours, beside)


def world() -> str:
    """This boot and the network namespace of the calling thread."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            cookie = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little")
    except OSError:  # before Linux 5.14
        cookie = Path("/proc/thread-self/ns/net").stat().st_ino
    return f"{boot} {cookie}"


def configured() -> dict[str, str]:
    """The files that set the kernel's settings at a boot, by path, as they are read."""
    found: dict[str, Path] = {}
    for folder in reversed(CONFIGURED):
        # A file of the same name in a folder before this one stands for it.
        found |= {path.name: path for path in Path(folder).glob("*.conf")}
    paths = [*(found[name] for name in sorted(found)), Path("/etc/sysctl.conf")]
    return {str(path): path.read_text(errors="replace") for path in paths if path.is_file()}


def missing_folders(files: Iterable[Path]) -> list[str]:
    """From the outermost on."""
    parents = dict.fromkeys(parent for file in files for parent in reversed(file.parents))
    return [str(parent) for parent in parents if not parent.exists()]


def digest(path: Path) -> str | None:
    """Of a file's content, or of where a link leads; None when there is neither."""
    if path.is_symlink():
        return _leading(os.readlink(path))
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def digest_before(file: File) -> str | None:
    """Of what was there before a file was put in place."""
    if file.link:
        return _leading(file.link)
    return digest(Path(file.kept)) if file.kept else None


def _leading(where: str) -> str:
    return f"link to {where}"


def restore(file: File, path: Path) -> None:
    """What was there before the file was put in place is there again; OSError."""
    if not file.link:
        kept = Path(file.kept)
        put(path, kept.read_bytes(), kept.stat().st_mode & 0o7777)
        return
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.symlink_to(file.link)
    beside.replace(path)


def read(path: Path) -> Record:
    """An empty one when there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ready(Record))
    except FileNotFoundError:
        return Record()
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{path}: {error}; once it is moved away, what it told of stays as it is") from error


def write(path: Path, record: Record) -> None:
    put(path, msgspec.json.encode(record), 0o600)


def put(path: Path, data: bytes, mode: int) -> None:
    """All of it, on the disk, or nothing; OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
