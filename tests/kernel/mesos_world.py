"""A host of the kernel tests with a node, a Mesos master and an agent that runs containers without Docker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.kernel.netlab import Lab
from tests.kernel.test_cni_kernel import Node, endpoints, handles
from tests.support.cni_plugin import CniPlugin
from tests.support.netns import within
from tests.support.ucr_host import UcrHost

Json = dict[str, Any]


class World:
    """A host with a node, a master and an agent."""

    def __init__(self, lab: Lab, work: Path) -> None:
        self.lab = lab
        self.node = Node(self.lab, "agent-1", "172.24.197.102")
        self.config = work / "networks"
        self.config.mkdir()
        for name in ("blue", "red"):
            document = {"cniVersion": "0.2.0", "name": name, "type": "calico", "ipam": {"type": "calico-ipam"}}
            (self.config / f"{name}.cni").write_text(json.dumps(document))
        self.recorder = CniPlugin(work / "recorder")
        (self.config / "slow.cni").write_text(json.dumps({"name": "slow", "type": "recorder"}))
        flags = ["--network_cni_config_dir", str(self.config), "--network_cni_plugins_dir"]
        self.host = UcrHost(work, agent=[*flags, f"{self.node.runtime.folder}:{self.recorder.plugins}"])

    @classmethod
    @contextmanager
    def up(cls, work: Path) -> Iterator[Self]:
        """Who uses it is on the host himself meanwhile."""
        lab = Lab(work)
        try:
            world = cls(lab, work)
            with within(world.node.host.netns), world.host:
                yield world
        finally:
            lab.close()

    def clean(self) -> bool:
        """Nothing of any container is left in the network."""
        return not (endpoints(self.lab) or handles(self.lab) or self.node.links() or self.kept())

    def kept(self) -> list[str]:
        return [path.name for path in (self.host.run / "isolators/network/cni").glob("*")]

    def left(self) -> str:
        return f"{endpoints(self.lab)} {handles(self.lab)} {self.node.links()} {self.kept()}"


def on(*names: str, **more: Any) -> Json:
    return {"network_infos": [{"name": name, "ip_addresses": [{"protocol": "IPv4"}], **more} for name in names]}


def addresses(status: Json) -> list[str]:
    return [a["ip_address"] for info in status["container_status"]["network_infos"] for a in info["ip_addresses"]]
