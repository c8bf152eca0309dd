"""Network namespaces as hosts and containers for the kernel tests: made by hand, removed afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE, wait_until

from tortie.model.ipam import affinity_key, block_key
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put

until = wait_until
GATEWAY, GATEWAY_MAC = "169.254.1.1", "ee:ee:ee:ee:ee:ee"
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
TAG = f"t{os.getpid() % 100000}"


def sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def inside(netns: str, *words: str, check: bool = True) -> str:
    return sh("ip", "netns", "exec", netns, *words, check=check)


@dataclass(eq=False)
class Container:
    """A namespace with eth0, whose other end is `interface` on the host."""

    netns: str
    host: Host
    interface: str
    address: str
    key: str
    six: str = ""


@dataclass(eq=False)
class Host:
    """A namespace joined to the lab's bridge, with a real agent process."""

    name: str
    netns: str
    address: str
    lab: Lab
    six: str = ""
    agent: subprocess.Popen[bytes] | None = None
    containers: list[Container] = field(default_factory=list)
    beside: Callable[..., list[str]] | None = None

    def words(self, *command: str) -> list[str]:
        """What runs a command on the host."""
        return self.beside(*command) if self.beside else ["ip", "netns", "exec", self.netns, *command]

    @property
    def socket(self) -> Path:
        return self.lab.directory / f"{self.name}.sock"

    @property
    def bird(self) -> str:
        """The directory of its BIRD."""
        return str(self.lab.directory / f"{self.name}-bird")

    def uninstall(self) -> list[str]:
        """The command, with all that is not in this namespace alone: else it would end this machine's node and BIRD."""
        own = [*self.kept, "--socket", str(self.socket), "--store", self.lab.url]
        own += ["--cni-socket", f"{self.socket}.cni", "--cni-spool", f"{self.bird}-spool", "--no-docker", "--unit", ""]
        return self.words(sys.executable, "-m", "tests.kernel.run_node", "uninstall", *own)

    @property
    def kept(self) -> list[str]:
        """Options that lead to its own files, which its agent and its uninstallation must agree on."""
        return ["--bird-directory", self.bird, "--state", str(self.lab.directory / f"{self.name}-state")]

    @property
    def log(self) -> Path:
        return self.lab.directory / f"{self.name}.log"

    def start(self, *options: str, module: str = "tests.kernel.run_node") -> None:
        self.agent = subprocess.Popen(
            [
                *self.words(sys.executable, "-m", module, "run"),
                *("--hostname", self.name, "--address", f"{self.address}/24", "--socket", str(self.socket)),
                *(("--address6", f"{self.six}/64") if self.six else ()),
                *(
                    "--store",
                    self.lab.url,
                    "--no-docker",
                    "--no-cni",
                    *self.kept,
                    *options,
                ),
            ],
            stderr=self.log.open("ab"),
            cwd=Path(__file__).parents[2],
        )

    def ready(self) -> None:
        wait_until(lambda: self.ask("/readiness") is not None and self.status().get("ready"), message=self.story)

    def story(self) -> str:
        """What the agent says of itself, for who reads of a failure."""
        ended = self.agent.poll() if self.agent else "never started"
        return f"{self.name} (exit {ended}): {self.status()}; its log ends with: {self.log.read_text()[-3000:]}"

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        code = self.agent.wait(PATIENCE)
        self.agent = None
        return code

    def ask(self, path: str) -> str | None:
        done = subprocess.run(
            ["curl", "-s", "--max-time", "30", "--unix-socket", str(self.socket), f"http://node{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def status(self) -> dict[str, Any]:
        answer = self.ask("/status")
        return json.loads(answer) if answer else {}

    def endpoint(self, container: Container) -> dict[str, Any]:
        found: dict[str, Any] = self.status().get("endpoints", {}).get(container.key, {})
        return found

    def link(self, interface: str, address: str) -> str:
        """A container's namespace on this host, as a plug-in makes it; nothing in the store."""
        netns = f"{TAG}-{self.name}-{interface[4:]}"
        self.lab.add_netns(netns)
        inside(self.netns, "ip", "link", "add", interface, "address", GATEWAY_MAC, "type", "veth",
               "peer", "name", "eth0", "netns", netns)  # fmt: skip
        inside(self.netns, "ip", "link", "set", interface, "up")
        for words in (
            "link set lo up",
            "link set eth0 up",
            f"addr add {address}/32 dev eth0",
            f"route add {GATEWAY} dev eth0 scope link",
            f"route add default via {GATEWAY} dev eth0",
        ):
            inside(netns, "ip", *words.split())
        return netns

    def container(self, name: str, address: str, *profiles: str, six: str = "", wait: bool = True) -> Container:
        """A container with its endpoint in the store, once it is programmed; `six`: its address of IPv6 beside."""
        interface = f"cali{name}"
        netns = self.link(interface, address)
        if six:
            inside(netns, "ip", "addr", "add", f"{six}/128", "dev", "eth0", "nodad")
            inside(netns, "ip", "-6", "route", "add", "default", "via", GATEWAY6, "dev", "eth0")
        key = self.lab.put_endpoint(self.name, name, interface, address, profiles, six=six)
        container = Container(netns, self, interface, address, key, six)
        self.containers.append(container)
        if wait:
            wait_until(lambda: self._up(container), message=self.story)
        return container

    def _up(self, container: Container) -> bool:
        found = self.endpoint(container)
        return found.get("state") == "up" and (container.six or container.address) in found.get("addresses", ())


class Lab:
    """Hosts on one bridge in a namespace of its own, and a store in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite://{directory / 'store'}"
        self.client = Client(open_store(self.url))
        # There before the first node, which would make one that travels in tunnels.
        self.pool("192.168.0.0/16", nat_outgoing=False)
        self.hosts: list[Host] = []
        self._undo = ExitStack()
        self.switch = f"{TAG}-switch"
        self.add_netns(self.switch)
        inside(self.switch, "ip", "link", "add", "br0", "type", "bridge")
        inside(self.switch, "ip", "link", "set", "br0", "up")

    def add_netns(self, name: str) -> None:
        sh("ip", "netns", "add", name)
        # Refusals are how the tests see that a packet arrived: none may be held back.
        inside(name, "sysctl", "-qw", "net.ipv4.icmp_ratemask=0")
        self._undo.callback(sh, "ip", "netns", "del", name, check=False)

    def plug(self, name: str, address: str, six: str = "", subnet: int = 0) -> str:
        """A namespace with eth0 on the lab's bridge, or on that of another subnet."""
        netns = f"{TAG}-{name}"
        self.add_netns(netns)
        inside(netns, "ip", "link", "set", "lo", "up")
        self._join(netns, "eth0", name, subnet, address, six)
        return netns

    def _join(self, netns: str, device: str, port: str, subnet: int, address: str, six: str) -> None:
        inside(self.switch, "ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", netns)
        inside(self.switch, "ip", "link", "set", port, "master", f"br{subnet}", "up")
        inside(netns, "ip", "addr", "add", f"{address}/24", "dev", device)
        if six:
            inside(netns, "ip", "addr", "add", f"{six}/64", "dev", device, "nodad")
        inside(netns, "ip", "link", "set", device, "up")

    def router(self, *addresses: str) -> str:
        """A second subnet, and who forwards between the two: its addresses in each, of IPv4 and then of IPv6."""
        inside(self.switch, "ip", "link", "add", "br1", "type", "bridge")
        inside(self.switch, "ip", "link", "set", "br1", "up")
        here, there, here6, there6 = addresses
        netns = self.plug("router", here, here6)
        self._join(netns, "eth1", "router1", 1, there, there6)
        inside(netns, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return netns

    def start(self, netns: str, *words: str) -> subprocess.Popen[bytes]:
        """A program in a namespace; it ends with the lab at the latest."""
        process = subprocess.Popen(["ip", "netns", "exec", netns, *words], stderr=subprocess.DEVNULL)
        self._undo.callback(process.wait)
        self._undo.callback(process.kill)
        return process

    def host(self, name: str, address: str, *options: str, six: str = "", subnet: int = 0) -> Host:
        host = Host(name, self.plug(name, address, six, subnet), address, self, six)
        self.hosts.append(host)
        host.start(*options)
        host.ready()
        return host

    def close(self) -> None:
        for host in self.hosts:
            if host.agent is not None:
                host.kill(signal.SIGTERM)
        self._undo.close()
        self.client.datastore.close()

    # the store

    def move(self, url: str) -> None:
        """To another store, before anything is in this one."""
        self.client.datastore.close()
        self.url, self.client = url, self.client_of(url)

    def reopen(self) -> None:
        """After somebody has put another one in its place."""
        self.move(self.url)

    @staticmethod
    def client_of(url: str) -> Client:
        return Client(open_store(url))

    def put_endpoint(
        self,
        node: str,
        name: str,
        interface: str,
        address: str,
        profiles: Sequence[str],
        client: Client | None = None,
        six: str = "",
    ) -> str:
        resource = Resource(
            kind=WORKLOAD_ENDPOINT,
            metadata=Metadata(name=f"{node}-libnetwork-libnetwork-{name}", namespace="libnetwork"),
            spec=WorkloadEndpointSpec(
                orchestrator="libnetwork",
                workload="libnetwork",
                node=node,
                endpoint=name,
                ip_networks=(f"{address}/32", *((f"{six}/128",) if six else ())),
                profiles=tuple(profiles),
                interface_name=interface,
            ),
        )
        return (client or self.client).apply(resource).key

    def pool(self, cidr: str, **how: Any) -> None:
        """A pool whose addresses go out hidden behind their host; without tunnels unless `how` says so."""
        name = "default-" + cidr.translate(str.maketrans("./:", "---"))
        spec = IPPoolSpec(cidr=cidr, **{"nat_outgoing": True, **how})
        self.client.apply(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=spec))

    def profile(
        self,
        name: str,
        *ingress: Rule,
        egress: Sequence[Rule] = (Rule(action="Allow"),),
        client: Client | None = None,
    ) -> None:
        spec = ProfileSpec(ingress=ingress, egress=tuple(egress), labels_to_apply={name: ""})
        (client or self.client).apply(Resource(kind=PROFILE, metadata=Metadata(name=name), spec=spec))

    def block(self, cidr: str, owner: str, holders: dict[int, str] | None = None) -> None:
        """A block with a confirmed affinity; `holders`: node of an address by its place in the block. Its last address
        is in use in any case: its owner lets an empty block go when it looks for a tunnel's address."""
        network = ip_network(cidr)
        holders = {63: owner} | (holders or {})
        nodes = sorted(set(holders.values()))
        allocations: list[int | None] = [None] * 64
        for ordinal, node in holders.items():
            allocations[ordinal] = nodes.index(node)
        block = {
            "cidr": cidr,
            "affinity": f"host:{owner}",
            "allocations": allocations,
            "attributes": [{"handle_id": n, "secondary": {"node": n}} for n in nodes],
            "unallocated": [i for i, index in enumerate(allocations) if index is None],
        }
        self.client.datastore.commit(
            [
                Put(block_key(network), json.dumps(block).encode()),
                Put(affinity_key(owner, network), b'{"state":"confirmed"}'),
            ]
        )


def own_tag(name: str) -> Rule:
    return Rule(action="Allow", source=EntityRule(selector=f"{name} == ''"))


def allow_tcp(port: int, tag: str = "") -> Rule:
    source = EntityRule(selector=f"{tag} == ''") if tag else EntityRule()
    return Rule(action="Allow", protocol="TCP", source=source, destination=EntityRule(ports=(port,)))
