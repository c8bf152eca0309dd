"""What is on disk of a container's networks, at the original's paths below ROOT/CONTAINER.

`ns`, `hostname`, `hosts`, `resolv.conf`, and for each network NETWORK/network.conf (what its plug-in was asked with)
and NETWORK/ethN/network.info (its answer); `owner` is ours.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.base.errors import Invalid, Unavailable
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.checkpoint import write
from tortie.mesos.agent.cni import results
from tortie.mesos.agent.cni.configuration import asked_in
from tortie.mesos.agent.networks import Joined
from tortie.wire import mesos as wire

FILES = {"/etc/hostname": "hostname", "/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf"}
LAST = "resolv.conf"
"""Written when everything else is: without it the container has not got its networks."""
ENVIRONMENT = {"LIBPROCESS_IP": "0.0.0.0"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One network of a container, or the attempt at it."""

    home: Path
    interface: str

    @property
    def network(self) -> str:
        return self.home.name

    @property
    def request(self) -> Path:
        return self.home / "network.conf"

    @property
    def answer(self) -> Path:
        return self.home / self.interface / "network.info"

    def begin(self, request: bytes) -> None:
        """Before the plug-in is asked."""
        self.home.mkdir()
        write(self.request, request)
        (self.home / self.interface).mkdir()

    def forget(self) -> None:
        """When the plug-in has taken it back."""
        shutil.rmtree(self.home)

    def shown(self) -> wire.NetworkInfo:
        """Raises Invalid or OSError for what cannot be read."""
        return results.shown(asked_in(self.request.read_bytes()), results.parse(self.answer.read_bytes()))


class Kept:
    """Of one agent: another one on this host may keep its own below the same root."""

    def __init__(self, root: Path, owner: str) -> None:
        self.root = root
        self.owner = owner

    def containers(self) -> Sequence[str]:
        return sorted(path.parent.name for path in self.root.glob("*/owner") if self.has(path.parent.name))

    def has(self, container_id: str) -> bool:
        try:
            return (self.home(container_id) / "owner").read_text() == self.owner
        except OSError:
            return False

    def begin(self, container_id: str) -> None:
        """From now on it is known whose it is."""
        beside = self.root / f".{container_id}"
        beside.mkdir(parents=True, exist_ok=True)
        (beside / "owner").write_text(self.owner)
        beside.rename(self.home(container_id))

    def home(self, container_id: str) -> Path:
        return self.root / container_id

    def namespace(self, container_id: str) -> Path:
        return self.home(container_id) / "ns"

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """In the order of their interfaces; a network for which no plug-in has been asked is none."""
        found = [Attachment(p.parent, p.name) for p in self.home(container_id).glob("*/*") if p.is_dir()]
        return sorted(found, key=lambda one: (len(one.interface), one.interface))

    def complete(self, container_id: str, texts: dict[str, str]) -> None:
        """`texts` by file name; the last one makes it whole."""
        for name in sorted(texts, key=lambda name: name == LAST):
            write(self.home(container_id) / name, texts[name].encode())

    def joined(self, container_id: str) -> Joined | None:
        """None when it has not got all of its networks. Raises Unavailable for what cannot be read any more."""
        home = self.home(container_id)
        if not (home / LAST).exists():
            return None
        try:
            return Joined(
                namespace=str(home / "ns"),
                hostname=(home / "hostname").read_text().strip(),
                infos=[one.shown() for one in self.attachments(container_id)],
                environment=ENVIRONMENT,
                files={inside: str(home / name) for inside, name in FILES.items()},
            )
        except (Invalid, OSError) as error:
            raise Unavailable(f"CNI networks of container {container_id} under {home}: {error}") from error

    def forget(self, container_id: str) -> None:
        """The namespace too. What is not there is fine."""
        home = self.home(container_id)
        if home.exists():
            namespaces.drop(home / "ns")
            shutil.rmtree(home)
