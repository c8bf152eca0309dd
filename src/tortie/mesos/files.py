"""/files: what is in directories that a process has put on show."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.types import ASGIApp

from tortie.mesos.http import Handler, Refusal, document

LONGEST_READ = 16 * 4096
FARTHEST = (1 << 63) - 1


def log_file(flags: Mapping[str, str]) -> Path | None:
    """The process's own log: what the flag names, else standard error where that is a file."""
    if named := flags.get("external_log_file"):
        return Path(named)
    return Path(os.readlink("/proc/self/fd/2")) if stat.S_ISREG(os.fstat(2).st_mode) else None


class Files:
    """`shown` says which virtual paths there are now, and where each leads."""

    def __init__(self, shown: Callable[[], Mapping[str, Path]]) -> None:
        self.shown = shown

    def routes(self) -> dict[str, Handler]:
        return {
            "/files/browse": self.browse,
            "/files/read": self.read,
            "/files/download": self.download,
            "/files/debug": self.debug,
        }

    def resolve(self, virtual: str) -> Path:
        """The real path; a way out of what is shown, by `..` or a link, does not exist."""
        wanted = os.path.normpath("/" + virtual.lstrip("/"))
        for name, root in self.shown().items():
            if wanted == name or wanted.startswith(name.rstrip("/") + "/"):
                real = Path(os.path.realpath(root / wanted[len(name) :].lstrip("/")))
                top = Path(os.path.realpath(root))
                if real.exists() and (real == top or top in real.parents):
                    return real
        raise Refusal(404)

    async def browse(self, request: Request) -> ASGIApp:
        path = _path(request)
        real = self.resolve(path)
        if not real.is_dir():
            raise Refusal(404)
        base = path.rstrip("/")
        return document(request, [_entry(f"{base}/{e.name}", e) for e in sorted(real.iterdir(), key=lambda e: e.name)])

    def infos(self, path: str) -> list[dict[str, Any]]:
        """What lies in a directory, or the file itself, as FileInfo messages."""
        real = self.resolve(path)
        base = path.rstrip("/")
        if not real.is_dir():
            return [_info(base, real)]
        return [_info(f"{base}/{e.name}", e) for e in sorted(real.iterdir(), key=lambda e: e.name)]

    def part(self, path: str, offset: int, length: int | None) -> dict[str, Any]:
        """Bytes from `offset` on, and how long the file is."""
        real = self.resolve(path)
        if real.is_dir():
            raise Refusal(400, "Cannot read a directory.\n")
        if not 0 <= offset <= FARTHEST or (length is not None and length < 0):
            raise Refusal(400, f"Offset or length out of range: {offset}, {length}.\n")
        with real.open("rb") as file:
            file.seek(offset)
            data = file.read(LONGEST_READ if length is None else min(length, LONGEST_READ))
        return {"size": real.stat().st_size, "data": data}

    async def read(self, request: Request) -> ASGIApp:
        real = self.resolve(_path(request))
        if real.is_dir():
            raise Refusal(400, "Cannot read a directory.\n")
        offset, length = _number(request, "offset"), _number(request, "length")
        if offset is not None and offset < -1:
            raise Refusal(400, f"Negative offset provided: {offset}.\n")
        if length is not None and length < -1:
            raise Refusal(400, f"Negative length provided: {length}.\n")
        if offset is None or offset == -1:
            return document(request, {"data": "", "offset": real.stat().st_size})
        size = LONGEST_READ if length in (None, -1) else min(length or 0, LONGEST_READ)
        with real.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        return document(request, {"data": data.decode(errors="replace"), "offset": offset})

    async def download(self, request: Request) -> ASGIApp:
        real = self.resolve(_path(request))
        if real.is_dir():
            raise Refusal(400, "Cannot download a directory.\n")
        return FileResponse(real, filename=real.name, media_type=None)

    async def debug(self, request: Request) -> ASGIApp:
        return document(request, {name: str(real) for name, real in self.shown().items()})


def _path(request: Request) -> str:
    path = request.query_params.get("path")
    if not path:
        raise Refusal(400, "Expecting 'path=value' in query.\n")
    return path


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise Refusal(400, f"Failed to parse {name}: Failed to convert '{text}' to number.\n") from None


def _info(path: str, real: Path) -> dict[str, Any]:
    shown, found = _entry(path, real), real.lstat()
    return {**shown, "mtime": {"nanoseconds": found.st_mtime_ns}, "mode": found.st_mode}


def _entry(path: str, real: Path) -> dict[str, Any]:
    found = real.lstat()
    return {
        "path": path,
        "nlink": found.st_nlink,
        "size": found.st_size,
        "mtime": found.st_mtime,
        "mode": stat.filemode(found.st_mode),
        "uid": _named(lambda: pwd.getpwuid(found.st_uid).pw_name, found.st_uid),
        "gid": _named(lambda: grp.getgrgid(found.st_gid).gr_name, found.st_gid),
    }


def _named(lookup: Callable[[], str], number: int) -> str:
    try:
        return lookup()
    except KeyError:
        return str(number)
