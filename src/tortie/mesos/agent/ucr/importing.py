"""Makes an image out of what there is: another tool's archive or layout, or a root folder. Every call blocks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tortie.base.errors import Invalid, Unavailable
from tortie.mesos.agent.ucr.archive import Image, opened, uncompressed
from tortie.mesos.agent.ucr.images import Reference
from tortie.mesos.agent.ucr.layers import Hashing, unpack

ROOT_SIGNS = ("bin", "etc", "usr", "lib", "sbin", "dev", "opt", "var", "root")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """`path`: the archive as `docker save` writes it, for the agent's folder of images and for `docker load`."""

    path: Path
    layers: int
    size: int


def import_image(source: Path, name: Reference, folder: Path, changes: Mapping[str, Any]) -> Imported:
    """Writes `folder/NAME:TAG.tar`, whole or not at all. `changes`: fields of the image's configuration, Env added to.

    Every layer is unpacked once, to nowhere that stays: Invalid when it is broken or hostile. NotFound when there is
    nothing at `source`.
    """
    target = folder / f"{name}.tar"
    beside = target.with_name(f".{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as work:
            layers, config = _collect(source, Path(work), name)
            _write(beside, layers, _changed(config, changes), name)
        size = beside.stat().st_size
        beside.rename(target)
    except OSError as error:
        raise Unavailable(f"{error.filename or target}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return Imported(target, len(layers), size)


def _collect(source: Path, work: Path, name: Reference) -> tuple[list[tuple[str, Path]], dict[str, Any]]:
    """The layers as plain tars with their digests, and the configuration."""
    if source.is_dir() and not ((source / "index.json").exists() or (source / "manifest.json").exists()):
        return [_packed(source, work / "0")], {"architecture": _architecture(), "os": "linux", "config": {}}
    with opened(source, name.tag) as image:
        return _copied(image, work, str(source)), dict(image.config)


def _copied(image: Image, work: Path, what: str) -> list[tuple[str, Path]]:
    found = []
    for number, layer in enumerate(image.layers):
        path, trial = work / str(number), work / f"{number}.trial"
        trial.mkdir()
        with image.files.open(layer.name) as stored, path.open("w+b") as file:
            source = uncompressed(stored, f"{what}, layer {layer.name}")
            while data := source.read(_CHUNK):
                file.write(data)
            file.seek(0)
            unpack(file, os.fspath(trial), layer.diff, f"{what}, layer {layer.name}")
        found.append((layer.diff, path))
    return found


def _packed(folder: Path, path: Path) -> tuple[str, Path]:
    """A root folder as one layer, in an order that does not depend on the disk."""
    if not any((folder / sign).exists() for sign in ROOT_SIGNS):
        raise Invalid(f"{folder}: neither an image's layout nor a root folder: it has none of {', '.join(ROOT_SIGNS)}")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for found in sorted(folder.rglob("*")):
            inside = found.relative_to(folder).as_posix()
            if not found.is_socket():
                tar.add(found, inside, recursive=False, filter=_plain)
    with path.open("rb") as file:
        return Hashing(file).digest(), path


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uname = info.gname = ""
    return info


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _changed(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    inside = dict(config.get("config") or {})
    for field, value in changes.items():
        inside[field] = [*(inside.get(field) or []), *value] if field == "Env" else value
    return {**config, "config": inside}


def _write(path: Path, layers: Sequence[tuple[str, Path]], config: Mapping[str, Any], name: Reference) -> None:
    rootfs = {"type": "layers", "diff_ids": [diff for diff, _ in layers]}
    written = json.dumps({**config, "rootfs": rootfs}, separators=(",", ":")).encode()
    file = f"{hashlib.sha256(written).hexdigest()}.json"
    names = [f"{diff.partition(':')[2]}/layer.tar" for diff, _ in layers]
    manifest = [{"Config": file, "RepoTags": [str(name)], "Layers": names}]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for inside, (_, layer) in dict(zip(names, layers, strict=True)).items():
            with layer.open("rb") as source:
                _add(tar, inside, source, layer.stat().st_size)
        for inside, data in ((file, written), ("manifest.json", json.dumps(manifest).encode())):
            _add(tar, inside, io.BytesIO(data), len(data))


def _add(tar: tarfile.TarFile, name: str, source: BinaryIO, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, source)
