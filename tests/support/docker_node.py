"""Hosts with a real engine and the real agent, joined by a bridge in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.docker_host import DockerHost, run
from tests.support.waiting import PATIENCE, wait_until
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store

ROOT = Path(__file__).resolve().parents[2]
CREATE = ("network", "create", "--driver", "calico", "--ipam-driver", "calico")


class NodeHost(DockerHost):
    """A host whose agent serves the engine's plug-ins in the places where an engine looks for them."""

    def start_node(self, store: str) -> None:
        script = "from tortie.cli.main import main; main()"
        command = [sys.executable, "-c", script, "node", "run", "--hostname", self.name]
        command += ["--address", str(self._address), "--store", store, "--no-cni", "--state", str(self.dir / "state")]
        with (self.dir / "node.log").open("ab") as log:
            self.node = subprocess.Popen(
                self.inside(*command), env={**os.environ, "PYTHONPATH": f"{ROOT}/src"}, stderr=log, cwd="/"
            )
        for path in ("tortie/node.sock", "docker/plugins/calico.sock"):
            wait_until((self.run_dir / path).exists, message=self._node_story)

    def _node_story(self) -> str:
        log = (self.dir / "node.log").read_text()[-3000:]
        return f"the sockets of {self.name}'s agent: exit {self.node.poll()}, its log ends with: {log}"

    def end_node(self, how: signal.Signals) -> None:
        """The process is a child of nsenter, which passes no signal on."""
        children = Path(f"/proc/{self.node.pid}/task/{self.node.pid}/children").read_text().split()
        for pid in children:
            os.kill(int(pid), how)
        self.node.wait(PATIENCE)
        for name in ("tortie/node.sock", "docker/plugins/calico.sock"):
            (self.run_dir / name).unlink(missing_ok=True)

    def start_container(self, name: str, network: str, *words: str) -> str:
        """Its address."""
        self.docker("run", "-d", "--name", name, "--net", network, *words, self.image, "/bin/sleep", "1000")
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return self.docker("inspect", "-f", form, name).stdout.strip()

    def reaches(self, container: str, address: str) -> bool:
        """Whether one echo comes back at once. For `not reaches`, and for asking again and again."""
        words = ("exec", container, "ping", "-c", "1", "-W", "1", address)
        return self.docker(*words, check=False).returncode == 0

    def must_reach(self, container: str, address: str) -> None:
        """One echo comes back, however slow this machine is."""
        self.docker("exec", container, "ping", "-c", "1", "-W", f"{PATIENCE:.0f}", address)


@contextmanager
def bridged() -> Iterator[str]:
    """The name of a namespace with a bridge `br0`."""
    name = f"docker-switch-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", name, "link", "set", "br0", "up")
        run("nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        yield name
    finally:
        run("ip", "netns", "del", name)


@contextmanager
def two_hosts() -> Iterator[tuple[NodeHost, NodeHost, Client, str]]:
    """Two hosts on one store (its client and address), with the networks `blue` (the pool as subnet) and `red`."""
    directory = tempfile.mkdtemp(prefix="td-store-", dir="/tmp")
    url = f"sqlite://{directory}"
    store = open_store(url)
    client = Client(store)
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="default"), spec=IPPoolSpec(cidr="192.168.0.0/16")))
    try:
        with bridged() as switch:
            one = NodeHost("n1", address="172.24.197.102/24", switch=switch)
            two = NodeHost("n2", address="172.24.197.103/24", switch=switch)
            with one, two:
                one.start_node(url)
                two.start_node(url)
                one.docker(*CREATE, "--subnet=192.168.0.0/16", "blue")
                one.docker(*CREATE, "red")
                wait_until(
                    lambda: two.docker("network", "inspect", "red", "blue", check=False).returncode == 0,
                    message="replicas of the networks",
                )
                yield one, two, client, url
                one.end_node(signal.SIGTERM)
                two.end_node(signal.SIGTERM)
    finally:
        store.close()
        shutil.rmtree(directory)
