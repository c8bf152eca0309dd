"""Archives of images made by hand: as `docker save` writes them, as OCI layouts, and as no honest tool would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Entry = tuple[str, Any]
"""(path, bytes of a file | None for a folder | a TarInfo to take as it is)."""


def tar(entries: Sequence[Entry]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in entries:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def special(name: str, kind: bytes, target: str = "", **fields: Any) -> Entry:
    """A link or device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for field, value in fields.items():
        setattr(info, field, value)
    return name, info


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(layers: Sequence[bytes], config: Mapping[str, Any] | None = None) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "config": config or {}, "rootfs": rootfs}).encode()


def saved(path: Path, layers: Sequence[bytes], config: Mapping[str, Any] | None = None, tag: str = "x:latest") -> Path:
    """As `docker save` of engines before 25 wrote it."""
    read = config_of(layers, config)
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    files = [("config.json", read), ("manifest.json", json.dumps(manifest).encode())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar([*zip(names, layers, strict=True), *files]))
    return path


def layout(folder: Path, layers: Sequence[bytes], config: Mapping[str, Any] | None = None) -> Path:
    """An OCI layout with compressed layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, Any]:
        (blobs / digest(data).partition(":")[2]).write_bytes(data)
        return {"digest": digest(data), "size": len(data)}

    manifest = {"config": put(config_of(layers, config)), "layers": [put(gzip.compress(layer)) for layer in layers]}
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder
