"""Where an image comes from: what `docker save` writes, and OCI layouts, as a tar or a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

import msgspec

from tortie.base.errors import Invalid, NotFound
from tortie.model.codec import UNREADABLE

MOST_METADATA = 8 << 20
"""A manifest or a configuration longer than this is none."""
REFERENCE = "org.opencontainers.image.ref.name"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Files(Protocol):
    """The files of an archive by their path in it."""

    def open(self, name: str) -> BinaryIO:
        """Raises NotFound."""
        ...


class FolderFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> BinaryIO:
        path = self._folder / _plain(name)
        try:
            return path.open("rb")
        except OSError as error:
            raise NotFound(f"{path}: {error.strerror}") from error


class TarFiles:
    """Raises Invalid when it is no tar. Links within it are followed once: some tools store a layer twice as a link."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._what = what
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:*")  # noqa: SIM115 (it lives as long as its file)
            self._members = {_plain(member.name): member for member in self._tar.getmembers()}
        except (tarfile.TarError, EOFError, OSError) as error:
            raise Invalid(f"{what}: not a tar archive: {error}") from error

    def open(self, name: str) -> BinaryIO:
        member = self._members.get(_plain(name))
        if member is not None and member.issym():
            member = self._members.get(_plain(str(PurePosixPath(name).parent / member.linkname), up=True))
        if member is None or not member.isfile():
            raise NotFound(f"{self._what}: {name} is not in it")
        file = self._tar.extractfile(member)
        assert file is not None
        return io.BufferedReader(file)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Layer:
    """`diff`: the digest of its tar, uncompressed. `blob`: that of the stored bytes, where the archive says it."""

    name: str
    diff: str
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """What an archive holds: the image's configuration as it is in JSON, and its layers, the lowest first."""

    config: Mapping[str, Any]
    layers: Sequence[Layer]
    files: Files


@contextmanager
def opened(path: Path, tag: str = "") -> Iterator[Image]:
    """The image at this path; of several the one with this tag, or the first. Invalid says what is wrong with it."""
    if path.is_dir():
        yield read_image(FolderFiles(path), str(path), tag)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
    with file:
        yield read_image(TarFiles(file, str(path)), str(path), tag)


def read_image(files: Files, what: str, tag: str = "") -> Image:
    try:
        manifests = _json(files, "manifest.json", what, list)
    except NotFound:
        return _of_layout(files, what, tag)
    return _of_save(files, manifests, what, tag)


def _of_save(files: Files, manifests: list[Any], what: str, tag: str) -> Image:
    found = [entry for entry in manifests if isinstance(entry, dict)]
    if not found:
        raise Invalid(f"{what}: manifest.json names no image")
    named = [entry for entry in found if any(str(one).endswith(f":{tag}") for one in entry.get("RepoTags") or [])]
    entry = (named or found)[0] if tag else found[0]
    config, names = entry.get("Config"), entry.get("Layers")
    if not isinstance(config, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid(f"{what}: manifest.json: Config and Layers are missing")
    read = _json(files, config, what, dict)
    diffs = _diffs(read, len(names), what)
    return Image(read, [Layer(name, diff) for name, diff in zip(names, diffs, strict=True)], files)


def _of_layout(files: Files, what: str, tag: str) -> Image:
    try:
        index = _json(files, "index.json", what, dict)
    except NotFound as error:
        raise Invalid(
            f"{what}: neither manifest.json nor index.json is in it: no image of Docker's or OCI's"
        ) from error
    manifest = _blob(files, _chosen(index.get("manifests"), what, tag), what)
    if "manifests" in manifest:  # an index of one image for several platforms
        manifest = _blob(files, _chosen(manifest["manifests"], what, ""), what)
    config = _blob(files, _digest(manifest.get("config"), what), what)
    blobs = [_digest(layer, what) for layer in manifest.get("layers") or []]
    diffs = _diffs(config, len(blobs), what)
    layers = [Layer(_path(blob), diff, blob) for blob, diff in zip(blobs, diffs, strict=True)]
    return Image(config, layers, files)


def _chosen(manifests: Any, what: str, tag: str) -> str:
    found = [entry for entry in manifests or [] if isinstance(entry, dict)] if isinstance(manifests, list) else []
    here = [entry for entry in found if (entry.get("platform") or {}).get("os", "linux") == "linux"]
    named = [entry for entry in here if (entry.get("annotations") or {}).get(REFERENCE, "").endswith(tag)]
    if not here:
        raise Invalid(f"{what}: index.json names no image for Linux")
    return _digest((named or here)[0], what)


def _digest(descriptor: Any, what: str) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return checked_digest(digest, what)


def checked_digest(digest: Any, what: str) -> str:
    """A digest is a path too: nothing but sha256 in hex will do."""
    kind, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if kind != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise Invalid(f"{what}: {str(digest)[:100]!r} is no sha256 digest")
    return f"sha256:{value}"


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _blob(files: Files, digest: str, what: str) -> dict[str, Any]:
    """A JSON blob whose bytes have the digest by which it is named."""
    data = _bytes(files, _path(digest), what)
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise Invalid(f"{what}: {_path(digest)} has another digest than its name")
    found = _decoded(data, _path(digest), what)
    if not isinstance(found, dict):
        raise Invalid(f"{what}: {_path(digest)} is no object")
    return found


def _diffs(config: Mapping[str, Any], count: int, what: str) -> list[str]:
    rootfs = config.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(listed, list) or len(listed) != count:
        raise Invalid(f"{what}: the configuration names {len(listed or [])} layers, the manifest {count}")
    return [checked_digest(diff, what) for diff in listed]


def _json(files: Files, name: str, what: str, kind: type) -> Any:
    found = _decoded(_bytes(files, name, what), name, what)
    if not isinstance(found, kind):
        raise Invalid(f"{what}: {name} is not what it should be")
    return found


def _bytes(files: Files, name: str, what: str) -> bytes:
    with files.open(name) as file:
        data = file.read(MOST_METADATA + 1)
    if len(data) > MOST_METADATA:
        raise Invalid(f"{what}: {name} is longer than {MOST_METADATA} bytes")
    return data


def _decoded(data: bytes, name: str, what: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except UNREADABLE as error:
        raise Invalid(f"{what}: {name}: {error}") from error


def _plain(name: str, *, up: bool = False) -> str:
    """A path within an archive. Invalid for one that leads out of it."""
    parts: list[str] = []
    for part in PurePosixPath(name).parts:
        if part == ".." and up and parts:
            parts.pop()
        elif part == "..":
            raise Invalid(f"{name!r} leads out of the archive")
        elif part not in ("/", "."):
            parts.append(part)
    return "/".join(parts)


def uncompressed(file: BinaryIO, what: str) -> BinaryIO:
    """The tar of a layer, which may be stored compressed."""
    start = file.read(4)
    file.seek(0)
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if start.startswith(_ZSTD):
        raise Invalid(f"{what}: compressed by zstd, which is not supported: save it again with gzip")
    return file
