"""What is on disk of a container's network: ROOT/CONTAINER/{record.json,ns,request.json}. Every call blocks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.checkpoint import write
from tortie.wire import mesos as wire


class Record(wire.Message):
    """`addresses`: None until all of them are known. `about`: the task that it is for. `released`, `cleaned`: whether
    the addresses and the network have been given back."""

    uid: str
    info: wire.NetworkInfo
    labels: list[dict[str, str]] = []
    about: dict[str, str] = {}
    addresses: list[str] | None = None
    released: bool = False
    cleaned: bool = False


class Kept:
    def __init__(self, root: Path) -> None:
        self.root = root

    def containers(self) -> Sequence[str]:
        try:
            return sorted(path.name for path in self.root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []

    def has(self, container_id: str) -> bool:
        return (self.root / container_id).is_dir()

    def namespace(self, container_id: str) -> Path:
        return self.root / container_id / "ns"

    def record(self, container_id: str) -> Record | None:
        """None when nothing had begun. Raises Unavailable for one that cannot be read."""
        path = self._record(container_id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=ready(Record))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"network of container {container_id}: {path}: {error}") from error

    def keep(self, container_id: str, record: Record) -> None:
        """On the disk when it returns."""
        path = self._record(container_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, wire.encode(record))
        except OSError as error:
            raise Unavailable(f"network of container {container_id}: {path}: {error.strerror}") from error

    def request(self, container_id: str, text: bytes) -> Path:
        """The file that a command has for its standard input."""
        path = self.root / container_id / "request.json"
        try:
            write(path, text)
        except OSError as error:
            raise Unavailable(f"network of container {container_id}: {path}: {error.strerror}") from error
        return path

    def forget(self, container_id: str) -> None:
        """The namespace too. What is not there is fine."""
        home = self.root / container_id
        if home.exists():
            namespaces.drop(self.namespace(container_id))
            try:
                shutil.rmtree(home)
            except OSError as error:
                raise Unavailable(f"network of container {container_id}: {home}: {error.strerror}") from error

    def _record(self, container_id: str) -> Path:
        return self.root / container_id / "record.json"
