"""The network that faults happen in: two hosts with agents, workloads that may speak and others that may not.

a and b (profile n, both families) and c (guarded by a policy, profile m) live on h1, d (n) on h2; o is a machine beside
them with a route to the workloads.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.prober import Conversation, Prober, Stream, Tally
from tests.kernel.netlab import Container, Host, Lab, inside, own_tag
from tests.kernel.test_faults_apply import reach
from tests.kernel.test_node_kernel import strip
from tests.support.etcd_server import EtcdServer
from tests.support.waiting import wait_until
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import Rule

GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
SIX = Path("/proc/sys/net/ipv6").exists()
ADDRESSES = {"a": ("10.65.0.1", "fd65::1"), "b": ("10.65.0.2", "fd65::2"), "c": ("10.65.0.3", "fd65::3")}


class World:
    """`options`: further words for the agent of h1; `module`: what is run as that agent."""

    def __init__(
        self, lab: Lab, *options: str, module: str = "tests.kernel.run_node", store: EtcdServer | None = None
    ) -> None:
        self.lab, self.options, self.module, self.store = lab, options, module, store
        self._ways: list[subprocess.Popen[bytes]] = []
        for name, cidr in (("four", "10.65.0.0/16"), ("six", "fd65::/64")):
            lab.client.apply(Resource(kind=IP_POOL, metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr)))
        self.one = self._host("h1", "10.9.0.1")
        self.two = self._host("h2", "10.9.0.2")
        self.connect()
        self.one.start(*options, module=module)
        self.two.start()
        for host in (self.one, self.two):
            host.ready()
        self._settle_policy()
        self.boxes = {
            name: self._both(self.one, name, four, six, "m" if name == "c" else "n")
            for name, (four, six) in ADDRESSES.items()
        }
        self.boxes["d"] = self.two.container("d", "10.65.1.4", "n")
        self.outside = lab.plug("o", "10.9.0.9")
        inside(self.outside, "ip", "route", "add", "10.65.0.0/16", "via", "10.9.0.1")
        self.prober = self._prober()

    def _host(self, name: str, address: str) -> Host:
        host = Host(name, self.lab.plug(name, address), address, self.lab)
        self.lab.hosts.append(host)
        # A flow is over when nothing was answered for this long: or a long run would fill the kernel's table.
        inside(host.netns, "sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=10", check=False)
        return host

    def _settle_policy(self) -> None:
        lab = self.lab
        lab.block("10.65.0.0/26", "h1")
        lab.block("10.65.1.0/26", "h2")
        lab.profile("n", own_tag("n"))
        # Nothing but the policy keeps others from c: without it for a moment, this would let them in.
        lab.profile("m", Rule(action="Allow"))
        spec = GlobalNetworkPolicySpec(selector="has(m)", types=("Ingress",), ingress=(own_tag("m"),))
        lab.client.apply(Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec))

    def _both(self, host: Host, name: str, four: str, six: str, profile: str) -> Container:
        """A container with an address of each family, where the machine knows both."""
        found = host.container(name, four, profile, wait=not SIX)
        if not SIX:
            return found
        inside(found.netns, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", check=False)
        inside(found.netns, "ip", "addr", "add", f"{six}/128", "dev", "eth0", "nodad")
        inside(found.netns, "ip", "-6", "route", "add", "default", "via", GATEWAY6, "dev", "eth0")
        endpoint = self.lab.client.get(WORKLOAD_ENDPOINT, found.key.rpartition("/")[2], "libnetwork")
        spec = msgspec.structs.replace(endpoint.spec, ip_networks=(f"{four}/32", f"{six}/128"))
        self.lab.client.apply(dataclasses.replace(endpoint, spec=spec))
        wait_until(lambda: self._up(host, found, six), message=host.story)
        return found

    def connect(self) -> None:
        """The hosts reach the store, where it is a server."""
        if self.store is not None:
            self._ways = [reach(host, self.store.client) for host in (self.one, self.two)]

    def cut_off(self) -> None:
        for way in self._ways:
            way.kill()
            way.wait()
        self._ways = []

    @staticmethod
    def _up(host: Host, container: Container, six: str) -> bool:
        endpoint = host.endpoint(container)
        return endpoint.get("state") == "up" and six in endpoint.get("addresses", ())

    def _prober(self) -> Prober:
        a, b, c, d = (self.boxes[name].netns for name in "abcd")
        h1 = self.one.netns
        four = {name: box.address for name, box in self.boxes.items()}
        streams = [
            Stream("a to b", a, b, four["b"], True),
            Stream("b to a", b, a, four["a"], True),
            Stream("d to a, across hosts", d, a, four["a"], True),
            Stream("a to d, across hosts", a, d, four["d"], True),
            Stream("host to c", h1, c, four["c"], True),
            Stream("a to c", a, c, four["c"], False),
            Stream("c to a", c, a, four["a"], False),
            Stream("d to c, across hosts", d, c, four["c"], False),
            Stream("outside to a", self.outside, a, four["a"], False),
            Stream("a to host", a, h1, "10.9.0.1", False),
        ]
        talks = [("a with b", a, b, four["b"]), ("d with a", d, a, four["a"]), ("host with c", h1, c, four["c"])]
        if SIX:
            streams += [
                Stream("a to b, IPv6", a, b, ADDRESSES["b"][1], True),
                Stream("a to c, IPv6", a, c, ADDRESSES["c"][1], False),
                Stream("c to b, IPv6", c, b, ADDRESSES["b"][1], False),
            ]
            talks.append(("b with a, IPv6", b, a, ADDRESSES["a"][1]))
        # Each route and neighbour is there before the first datagram counts.
        for stream in streams:
            if stream.allowed:
                wait_until(lambda s=stream: self._pings(s), message=f"{stream.name}: {self.one.story()}")  # type: ignore[misc]
        return Prober(streams, [Conversation(*talk) for talk in talks])

    @staticmethod
    def _pings(stream: Stream) -> bool:
        return "1 received" in inside(stream.source, "ping", "-c1", "-W1", stream.address, check=False)

    # the agent of h1

    def start(self) -> None:
        self.one.start(*self.options, module=self.module)

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.one.kill(number)
        self.start()

    def children(self) -> list[int]:
        agent = self.one.agent
        assert agent is not None
        tasks = Path(f"/proc/{agent.pid}/task").glob("*/children")
        return [int(word) for task in tasks for word in task.read_text().split()]

    def kill_child(self) -> None:
        for child in self.children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def memory(self) -> float:
        """Of the agent and its child, in MB."""
        agent = self.one.agent
        assert agent is not None
        return sum(_resident(pid) for pid in (agent.pid, *self.children()))

    def table(self) -> list[str]:
        return words_of(self.one)

    # what holds

    def holds(self) -> Tally:
        """Nothing leaked, nothing was lost, no conversation was cut; or AssertionError with what was."""
        tally = self.prober.judge()
        assert not tally.leaks, f"{tally}: {tally.leaks}"
        assert not tally.losses, f"{tally}: {tally.losses}"
        return tally

    def caught_up(self) -> None:
        """The agent of h1 has all that was written before this call in force."""
        self.one.ready()
        late = self.one.container(f"l{len(self.one.containers)}", f"10.65.0.{20 + len(self.one.containers)}", "n")
        self.forget(late.key)
        wait_until(lambda: late.key not in self.one.status().get("endpoints", {late.key: 1}), message=self.one.story)

    def forget(self, key: str) -> None:
        self.lab.client.delete(WORKLOAD_ENDPOINT, key.rpartition("/")[2], "libnetwork")

    def same_as_new(self) -> None:
        """After the prober: an agent that starts with an empty kernel comes to the same table."""
        self.caught_up()
        grown = self.table()
        self.one.kill(signal.SIGTERM)
        inside(self.one.netns, "nft", "delete", "table", "inet", "tortie")
        self.one.start(*self.options)
        self.one.ready()
        wait_until(lambda: self.table() == grown, message="the table of an agent that starts now")


def figures(host: Host) -> dict[str, float]:
    """What `/metrics` says, without labels."""
    families = text_string_to_metric_families(host.ask("/metrics") or "")
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def words_of(host: Host) -> list[str]:
    """What is in the table, without counters and owner: the order of a set's elements in a listing means nothing."""
    text = inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False)
    kept = "\n".join(line for line in text.splitlines() if not line.startswith(("table ", "\tflags ")))
    return sorted(strip(kept).replace(",", " ").split())


def _resident(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    found = next((line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")), "0")
    return int(found) / 1024
