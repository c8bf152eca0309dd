"""Images of the lab, made in seconds from the distribution's own files: no registry and no base image is needed.

The same files of the distribution give the same bytes, so the image's digest names its content. What goes into which
image is in `images`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab.image_files import FOLDERS, Entry, Recipe, compiled, content_of, entries_of

MTIME = 1451606400  # one fixed moment for every file: bytes do not depend on when they were made
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
KEPT_SECONDS = 7 * 86400.0
FORMAT = 3  # part of the cache key: raise it when the way of making changes


@dataclass(frozen=True, slots=True)
class Image:
    """A one-layer image as a registry gives it out: blobs by digest, and its manifest."""

    manifest: bytes
    config: bytes
    layer: Path

    @property
    def digest(self) -> str:
        return _digest(self.manifest)

    def blobs(self) -> Mapping[str, bytes | Path]:
        manifest = json.loads(self.manifest)
        return {manifest["config"]["digest"]: self.config, manifest["layers"][0]["digest"]: self.layer}


def make(recipe: Recipe, cache: Path) -> Image:
    """The image, from `cache` when the same files have given it before.

    Raises Unavailable when the machine lacks something that it cannot do without.
    """
    try:
        entries = entries_of(recipe)
        folder = cache / f"{recipe.name}-{_key(recipe, entries)[:32]}"
        if not folder.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            _make_beside(recipe, entries, folder)
            _forget_old(recipe, cache)
        os.utime(folder)
    except Unavailable as error:
        raise Unavailable(f"{recipe.name} image: {error}") from error
    config, manifest = (folder / "config.json").read_bytes(), (folder / "manifest.json").read_bytes()
    return Image(manifest, config, folder / "layer.tar.gz")


def _make_beside(recipe: Recipe, entries: Mapping[str, Entry], folder: Path) -> None:
    beside = Path(tempfile.mkdtemp(prefix=f".{recipe.name}-", dir=folder.parent))
    try:
        _make(recipe, entries, beside)
        os.rename(beside, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if not folder.is_dir():  # else another process was first, with the same bytes
            raise Unavailable(str(error)) from error


def _forget_old(recipe: Recipe, cache: Path) -> None:
    """Remove what this recipe gave earlier and no lab has begun with for long."""
    for other in cache.glob(f"{recipe.name}-*"):
        if time.time() - other.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def docker_archive(image: Image, names: Sequence[str], out: Path) -> None:
    """Write the image in the form that `docker load`, podman and nerdctl read."""
    with tarfile.open(out, "w") as tar:
        config_name = f"{hashlib.sha256(image.config).hexdigest()}.json"
        _add_bytes(tar, config_name, image.config, 0o644)
        with gzip.open(image.layer) as file:
            _add_bytes(tar, "layer.tar", file.read(), 0o644)
        table = [{"Config": config_name, "RepoTags": list(names), "Layers": ["layer.tar"]}]
        _add_bytes(tar, "manifest.json", json.dumps(table).encode(), 0o644)


def _key(recipe: Recipe, entries: Mapping[str, Entry]) -> str:
    """A digest of everything that the image is made from; files of the distribution by size and time."""
    about = json.dumps([FORMAT, platform.machine(), recipe.config, recipe.folders], sort_keys=True)
    digest = hashlib.sha256(about.encode())
    for name in sorted(entries):
        entry = entries[name]
        seal = entry.content or (entry.link or "").encode()
        if entry.source is not None:
            status = entry.source.stat()
            seal = f"{entry.source} {status.st_size} {status.st_mtime_ns}".encode()
        digest.update(f"{name}\0{entry.mode}\0{hashlib.sha256(seal).hexdigest()}\n".encode())
    return digest.hexdigest()


def _make(recipe: Recipe, entries: Mapping[str, Entry], folder: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _write(tar, {**entries, **compiled(recipe, entries)}, recipe.folders)
    # Pulled inside one machine: making it quickly matters more than a tenth of its size.
    packed = gzip.compress(raw.getbuffer(), compresslevel=1, mtime=0)
    (folder / "layer.tar.gz").write_bytes(packed)
    config = _config(recipe, _digest(raw.getbuffer()))
    (folder / "config.json").write_bytes(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": len(packed), "digest": _digest(packed)}],
    }
    (folder / "manifest.json").write_bytes(json.dumps(manifest, indent=3).encode())


def _write(tar: tarfile.TarFile, entries: Mapping[str, Entry], empty: Sequence[str]) -> None:
    folders = {
        os.fspath(parent)
        for name in (*entries, *(f"{f}/x" for f in (*FOLDERS, *empty)))
        for parent in Path(name).parents
    }
    for name in sorted({*folders, *entries} - {"."}):
        entry = entries.get(name)
        if entry is None:
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        elif entry.link is not None:
            member = _member(name, tarfile.SYMTYPE, 0o777)
            member.linkname = entry.link
            tar.addfile(member)
        else:
            _add_bytes(tar, name, content_of(entry), entry.mode)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = _member(name, tarfile.REGTYPE, mode)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, MTIME
    return member


def _config(recipe: Recipe, diff_id: str) -> bytes:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = {
        "architecture": machine,
        "os": "linux",
        "created": "2016-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "MALLOC_ARENA_MAX=2"],
            "Labels": {"tortie.image": recipe.name},
            **recipe.config,
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "2016-01-01T00:00:00Z", "created_by": "tortie"}],
    }
    return json.dumps(config, sort_keys=True).encode()


def _digest(data: bytes | memoryview) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
