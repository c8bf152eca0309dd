"""The images of one agent: archives in a folder in, layers unpacked once, a list of folders for overlayfs out."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, NotFound
from tortie.mesos.agent.ucr.archive import opened, uncompressed
from tortie.mesos.agent.ucr.layers import unpack
from tortie.model.codec import UNREADABLE

DEFAULT_TAG = "latest"


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What an image says of how to run it."""

    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An image to run: `layers` are folders, the lowest first."""

    name: str
    layers: Sequence[Path]
    config: ImageConfig = field(default_factory=ImageConfig)


@dataclass(frozen=True, slots=True)
class Reference:
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def parse_reference(name: str) -> Reference:
    """`nginx`, `registry:5000/team/app:v1`. Invalid for what cannot be a file's name, or leads out of a folder."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, DEFAULT_TAG
    parts = repository.split("/")
    if "@" in name or "\0" in name or not tag or any(part in ("", ".", "..") for part in parts):
        raise Invalid(f"image {name!r}: a repository and a tag are needed, as in nginx:alpine")
    return Reference(repository, tag)


class Images:
    """`sources`: folders of `REPOSITORY:TAG.tar` (`docker save`, or an OCI layout as a tar) and `REPOSITORY:TAG/` (an
    OCI layout). `store`: our own, on a file system that overlayfs can use. Every call blocks; threads may share it."""

    def __init__(self, sources: Sequence[Path], store: Path) -> None:
        self._sources = sources
        self._layers = store / "layers"
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._known: dict[tuple[str, str, int, int], Ready] = {}

    def get(self, name: str) -> Ready:
        """The image, its layers unpacked. NotFound when no archive has its name, Invalid when that is broken."""
        reference = parse_reference(name)
        source = self._source(reference)
        status = source.stat()
        key = (str(source), reference.tag, status.st_mtime_ns, status.st_size)
        found = self._known.get(key)
        if found is None or not all(layer.is_dir() for layer in found.layers):
            found = self._read(name, reference, source)
            if source.is_file():  # a folder may change without a sign of it
                self._known[key] = found
        return found

    def _read(self, name: str, reference: Reference, path: Path) -> Ready:
        with opened(path, reference.tag) as image:
            folders = []
            for layer in image.layers:
                folder = self._layers / layer.diff.replace(":", "-")
                with self._alone(layer.diff):
                    if not folder.is_dir():
                        with image.files.open(layer.name) as stored:
                            source = uncompressed(stored, f"image {name}")
                            self._unpack(source, folder, layer.diff, f"image {name}, layer {layer.name}")
                folders.append(folder)
            return Ready(name=name, layers=folders, config=_config(image.config, name))

    def _source(self, reference: Reference) -> Path:
        for folder in self._sources:
            for path in (folder / f"{reference}.tar", folder / str(reference)):
                if path.exists():
                    return path
        where = ", ".join(map(str, self._sources)) or "no folder"
        raise NotFound(f"image {reference}: no {reference}.tar in {where}")

    def _alone(self, diff: str) -> threading.Lock:
        """Two containers that need one layer wait for each other; those of different layers do not."""
        with self._lock:
            return self._busy.setdefault(diff, threading.Lock())

    def _unpack(self, source: Any, folder: Path, diff: str, what: str) -> None:
        """Whole or not at all: it is unpacked beside, and gets its name at the end."""
        beside = folder.with_name(f".{uuid.uuid4().hex}")
        beside.mkdir(parents=True)
        try:
            unpack(source, os.fspath(beside), diff, what)
            beside.rename(folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def clear(self) -> None:
        """What an earlier life left half done."""
        for path in self._layers.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)


def _config(raw: Mapping[str, Any], name: str) -> ImageConfig:
    try:
        return msgspec.convert(raw.get("config") or {}, ready(ImageConfig))
    except UNREADABLE as error:
        raise Invalid(f"image {name}: its configuration makes no sense: {error}") from error
