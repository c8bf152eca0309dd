"""One layer of an image unpacked for overlayfs: nothing that it says is written anywhere but below its own folder.

Every step of a path is opened relative to the folder above it, without following links, so that a link in the layer
leads nowhere. What the layer takes away (`.wh.` files) becomes what overlayfs knows for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import BinaryIO

from tortie.base.errors import Invalid, Unavailable

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."
_KEPT_XATTRS = ("security.capability", "user.")


class Hashing:
    """A file that is only read, once, and whose digest is known at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of everything, also what nobody read."""
        while self.read(_CHUNK):
            continue
        return f"sha256:{self._hash.hexdigest()}"


def unpack(layer: BinaryIO, folder: str, diff: str, what: str) -> None:
    """Unpacks an uncompressed tar below an empty folder. Invalid when it is broken, hostile, or not the one of `diff`;
    Unavailable when the disk does not take it."""
    source = Hashing(layer)
    root = os.open(folder, _FOLDER)
    times: list[tuple[str, float]] = []
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
            for member in tar:
                _place(root, tar, member, what)
                if member.isdir():
                    times.append((member.name, member.mtime))
        for name, moment in reversed(times):
            with suppress(OSError), _parent(root, _parts(name, what), what, make=False) as (parent, last):
                os.utime(last or ".", (moment, moment), dir_fd=parent, follow_symlinks=False)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise Invalid(f"{what}: a broken tar: {error}") from error
    except OSError as error:
        raise Unavailable(f"{what}: {error.filename or ''} {error.strerror or error}") from error
    finally:
        os.close(root)
    if source.digest() != diff:
        raise Invalid(f"{what}: its digest is not {diff}")


def _place(root: int, tar: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> None:
    parts = _parts(member.name, what)
    with _parent(root, parts, what) as (parent, name):
        if not name:
            _set_owner(parent, ".", member)
            return
        if name == OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
            return
        if name.startswith(WHITEOUT):
            _remove(parent, name.removeprefix(WHITEOUT))
            os.mknod(name.removeprefix(WHITEOUT), stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
            return
        _make(root, parent, name, tar, member, what)


def _make(root: int, parent: int, name: str, tar: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> None:
    if member.isdir():
        _make_folder(parent, name)
    else:
        _remove(parent, name)
    if member.isfile():
        source = tar.extractfile(member)
        assert source is not None
        with open(os.open(name, _NEW_FILE, 0o600, dir_fd=parent), "wb") as file:
            while data := source.read(_CHUNK):
                file.write(data)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=parent)
    elif member.islnk():
        _link(root, parent, name, member, what)
        return
    elif member.isfifo():
        os.mkfifo(name, dir_fd=parent)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        os.mknod(name, kind, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
    elif not member.isdir():
        raise Invalid(f"{what}: {member.name!r} is of an unknown kind")
    _set_owner(parent, name, member)


def _link(root: int, parent: int, name: str, member: tarfile.TarInfo, what: str) -> None:
    try:
        with _parent(root, _parts(member.linkname, what), what, make=False) as (there, target):
            os.link(target, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError as error:
        raise Invalid(f"{what}: {member.name!r} is a link to {member.linkname!r}, which is not in the layer") from error


def _set_owner(parent: int, name: str, member: tarfile.TarInfo) -> None:
    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if member.issym():
        return
    os.chmod(name, member.mode & 0o7777, dir_fd=parent)
    attributes = {
        key.removeprefix(_XATTR): value for key, value in member.pax_headers.items() if key.startswith(_XATTR)
    }
    if attributes and (member.isfile() or member.isdir()):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for key, value in attributes.items():
                if key.startswith(_KEPT_XATTRS):
                    os.setxattr(file, key, value.encode("utf-8", "surrogateescape"))
        finally:
            os.close(file)
    if not member.isdir():
        os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)


def _remove(parent: int, name: str) -> None:
    """What an earlier entry of the same layer put there; never a folder with something in it."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        os.rmdir(name, dir_fd=parent)


def _parts(name: str, what: str) -> tuple[str, ...]:
    parts = tuple(part for part in PurePosixPath(name).parts if part not in ("/", "."))
    if ".." in parts:
        raise Invalid(f"{what}: {name!r} leads out of the image")
    return parts


@contextmanager
def _parent(root: int, parts: tuple[str, ...], what: str, *, make: bool = True) -> Iterator[tuple[int, str]]:
    """The folder in which the last part lies, opened, and that part; folders on the way are made with `make`."""
    current = os.dup(root)
    try:
        for part in parts[:-1]:
            below = _step(current, part, "/".join(parts), what, make=make)
            os.close(current)
            current = below
        yield current, parts[-1] if parts else ""
    finally:
        os.close(current)


def _step(current: int, part: str, name: str, what: str, *, make: bool) -> int:
    for _ in range(2):
        try:
            return os.open(part, _FOLDER, dir_fd=current)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(part, 0o755, dir_fd=current)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Invalid(f"{what}: {name!r} lies behind {part!r}, which is no folder of this layer") from error
            raise
    raise Invalid(f"{what}: {name!r} cannot be reached")
