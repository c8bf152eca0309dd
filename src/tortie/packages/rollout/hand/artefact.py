"""The product with its dependencies, unpacked under the name of its content; a link says which one is in use."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sys
import sysconfig
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tortie.packages.rollout.hand import bytecode
from tortie.packages.rollout.hand.files import Failed, Place, remove, sync
from tortie.packages.rollout.hand.units import run

HOME = "/opt/tortie"
CURRENT = "current"
_NEXT = f".{CURRENT}.rollout"
DIGITS = 32


def tag() -> str:
    """What compiled modules must have been made for."""
    return f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"


def delta(place: Place, want: dict[str, Any]) -> list[dict[str, str]]:
    home, found = place.path(HOME), []
    if not (home / want["name"]).is_dir():
        found.append({"text": f"unpack {HOME}/{want['name']}", "have": ""})
    present = _current(home)
    if present != want["name"]:
        text = f"let {HOME}/{CURRENT} lead to {want['name']}"
        found.append({"text": f"{text} instead of {present}" if present else text, "have": present})
    return found


def apply(place: Place, want: dict[str, Any], payload: bytes, compiled: dict[str, Any] | None = None) -> None:
    """`compiled`: `{"magic", "size", "digest"}` of the byte code at the payload's end, if there is any."""
    if want["tag"] != tag():
        raise Failed(f"this host's Python is {tag()}, the artefact is for {want['tag']}")
    home = place.path(HOME)
    if place.record("artefact") is None:
        made = not (home / want["name"]).is_dir()
        place.write_record("artefact", {"link": _current(home), "made": made, "home": not home.exists()})
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".*.unpacking"):
        shutil.rmtree(left)
    if not (home / want["name"]).is_dir():
        try:
            _unpack(home, want["name"], payload, compiled)
        except OSError as error:  # where a disk is full, the error itself names no file
            raise Failed(f"{error.filename or home}: {error.strerror}") from error
    _lead(home, want["name"])


def undo(place: Place) -> None:
    """The link as it was. The files stay until `clean`: a program may still run from them."""
    record, home = place.record("artefact"), place.path(HOME)
    if record is None:
        return
    if record["link"]:
        _lead(home, record["link"])
    else:
        remove(home / CURRENT)


def clean(place: Place, name: str) -> None:
    """After `undo`, once nothing runs from the artefact any more: takes away what `apply` unpacked."""
    record, home = place.record("artefact"), place.path(HOME)
    if record is None or not home.exists():
        return
    remove(home / _NEXT)
    for left in home.glob(".*.unpacking"):
        shutil.rmtree(left)
    if record["made"] and _current(home) != name and (home / name).is_dir():
        (home / name).rename(home / f".{name}.unpacking")
        shutil.rmtree(home / f".{name}.unpacking")
    if record["home"] and not any(home.iterdir()):
        home.rmdir()


def program(place: Place, name: str) -> str:
    return str(place.path(HOME) / name / "bin" / "tortie")


def _current(home: Path) -> str:
    try:
        return os.readlink(home / CURRENT)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise Failed(f"{home / CURRENT} is there and is no link: move it away") from error


def _unpack(home: Path, name: str, payload: bytes, compiled: dict[str, Any] | None) -> None:
    size = compiled["size"] if compiled else 0
    plain, code = payload[: len(payload) - size], payload[len(payload) - size :]
    if compiled and hashlib.sha256(code).hexdigest() != compiled["digest"]:
        raise Failed("the artefact did not arrive whole: its byte code is another one")
    plain = _plain(plain)
    if hashlib.sha256(plain).hexdigest()[:DIGITS] != name:
        raise Failed(f"the artefact did not arrive whole: {len(payload)} bytes that are not {name}")
    beside = home / f".{name}.unpacking"
    beside.mkdir()
    if compiled and compiled["magic"] == bytecode.MAGIC:
        made = {str(path): content for path, _, content in _contents(_plain(code))}
        for path, mode, content in _contents(plain):
            _put(beside / path, mode, content)
            if path.suffix == ".py":
                where = bytecode.path_of(str(path))
                _put(beside / where, 0o644, _fitting(made.pop(where, b""), path, content))
        if made:
            raise Failed(f"the artefact holds byte code of no source: {min(made)}")
    else:
        for path, mode, content in _contents(plain):
            _put(beside / path, mode, content)
        _compile(beside)
    os.sync()
    beside.rename(home / name)
    sync(home)


def _plain(packed: bytes) -> bytes:
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise Failed(f"the artefact did not arrive whole: {error}") from error


def _contents(plain: bytes) -> Iterator[tuple[PurePosixPath, int, bytes]]:
    """(path, mode, content) of each file."""
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.is_absolute() or ".." in path.parts:
                raise Failed(f"the artefact holds {member.name!r}, which no artefact has")
            content = tar.extractfile(member)
            yield path, member.mode & 0o755, content.read() if content else b""


def _put(path: Path, mode: int, content: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(mode)


def _fitting(code: bytes, path: PurePosixPath, source: bytes) -> bytes:
    """Nobody compares it with its source any more, once it lies beside it."""
    header = bytecode.header(source)
    if code[: len(header)] != header:
        raise Failed(f"the artefact's byte code of {path} is {'of another source' if code else 'missing'}")
    return code


def _compile(folder: Path) -> None:
    """Where no byte code came that this Python reads. Once, here: each start would do it otherwise, or could not write
    it down."""
    done = run([sys.executable, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)])
    if done.returncode != 0:
        raise Failed(f"the artefact cannot be compiled: {(done.stdout or done.stderr).strip()[-300:]}")


def _lead(home: Path, name: str) -> None:
    if _current(home) == name:
        return
    beside = home / _NEXT
    beside.unlink(missing_ok=True)
    beside.symlink_to(name)
    beside.replace(home / CURRENT)
    sync(home)
