"""Rounds of the differential test: change some resources, load the tables, send packets from everybody to everybody,
and compare what arrived with what the policy's verdict says."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.differential.net import HOSTS, Net, within
from tests.differential.oracle import INTERFACES, Oracle, way
from tests.differential.probes import ICMP, ICMPV6, TCP, UDP, Probe, Prober
from tests.differential.resources import Source, addresses

from tortie.base.errors import Invalid
from tortie.dataplane.kernel.codec import canonical_key
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST, message, open_socket, receive
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.base import closed_table
from tortie.dataplane.render.settings import Settings
from tortie.model.resource import Resource, encode
from tortie.node.brain import Brain
from tortie.policy.verdict import Packet
from tortie.store.port import Event

FLUSH_CONNTRACK = (1 << 8) | 2
SERVICES = (
    *((TCP, port) for port in (80, 443, 8080, 22)),
    *((UDP, port) for port in (53, 80, 4000, 4789)),
)
ECHOES = ((8, 0), (8, 1), (13, 0)), ((128, 0), (128, 1))
CHANGES, FIRST_PORT = 5, 20000
QUIET_SECONDS, PATIENCE_SECONDS = 0.03, 30.0


@dataclass
class Tally:
    """What was compared."""

    rounds: int = 0
    packets: int = 0
    allowed: int = 0
    policies: int = 0
    again: int = 0
    by_way: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        ways = ", ".join(f"{name} {count}" for name, count in sorted(self.by_way.items()))
        return (
            f"{self.packets} packets in {self.rounds} rounds ({self.allowed} to arrive, {self.again} sent again), "
            f"{self.policies} policies and profiles put; denied by: {ways}"
        )


class Comparison:
    """The hosts' brains and tables beside the network. `close` ends the processes; the network is another's."""

    def __init__(self, net: Net, seed: int, *, share: bool = False) -> None:
        self.seed = seed
        self.tally = Tally()
        self._source = Source(seed)
        self._pick = self._source.pick
        self._addresses = addresses()
        self._brains = {name: Brain(name, f"{four}/24") for name, (four, _) in HOSTS.items()}
        self._oracle = Oracle({name: brain.engine for name, brain in self._brains.items()})
        self._tables = {name: KernelTable() for name in HOSTS}
        self._conntrack = {name: within(net.netns[name], lambda: open_socket(NETLINK_NETFILTER)) for name in HOSTS}
        self._prober = Prober(net.netns)
        self._number = 0
        self._held: dict[str, Resource[Any]] = {}
        self._arrived: set[tuple[str, int]] = set()
        self._forbidden: dict[int, tuple[Probe, str]] = {}
        for name, brain in self._brains.items():
            brain.table.set_settings(Settings(endpoint_to_host="Return"))
            brain.table.set_interfaces(INTERFACES[name])
            opened = closed_table()
            table = self._tables[name]
            within(net.netns[name], partial(table.open, owner=not share, closed=opened))
        for resource in self._source.first():
            self._put(resource, True)
        for name, brain in self._brains.items():
            # What another seed left is what an agent finds after a restart.
            brain.table.ledger.learn(self._tables[name].read(), canonical_key)
        self._load()

    def close(self) -> None:
        self._prober.close()
        for table in self._tables.values():
            table.close()
        for sock in self._conntrack.values():
            sock.close()

    def round(self) -> None:
        for _ in range(self._pick.randint(1, CHANGES)):
            self._put(*self._source.change())
        self._load()
        for sock in self._conntrack.values():
            flush(sock)
        probes = self._probes()
        try:
            self._compare(probes)
        except AssertionError as error:
            resources = "\n".join(encode(resource).decode() for _, resource in sorted(self._held.items()))
            raise AssertionError(f"seed {self.seed} round {self.tally.rounds}: {error}\n{resources}") from error
        self.tally.rounds += 1

    def _put(self, resource: Resource[Any], put: bool) -> None:
        if put:
            self._held[resource.key] = resource
            self.tally.policies += "Policy" in resource.kind.name or resource.kind.name == "Profile"
        else:
            self._held.pop(resource.key, None)
        for brain in self._brains.values():
            brain.learn(Event(resource.key, encode(resource) if put else None, 1))
            if unread := brain.unreadable:
                raise Invalid(f"the test made something unreadable: {unread}")

    def _load(self) -> None:
        for name, brain in self._brains.items():
            load(self._tables[name], brain)

    def _probes(self) -> list[Probe]:
        """A packet of two kinds and one echo, of each family, between any two."""
        found = []
        for source, froms in self._addresses.items():
            for destination, tos in self._addresses.items():
                if source == destination or not way(source, destination):
                    continue
                for family in (0, 1):
                    for protocol, port in self._pick.sample(SERVICES, 2):
                        found.append(self._probe(source, destination, (froms[family], tos[family]), protocol, port))
                    echo = self._pick.choice(ECHOES[family])
                    ends = (froms[family], tos[family])
                    found.append(self._probe(source, destination, ends, (ICMP, ICMPV6)[family], 0, echo))
        return found

    def _probe(
        self, source: str, destination: str, ends: tuple[str, str], protocol: int, port: int, icmp: Any = None
    ) -> Probe:
        self._number += 1
        own = FIRST_PORT + self._number % 40000 if port else 0
        return Probe(self._number, source, destination, Packet(*ends, protocol, own, port, icmp))

    def _compare(self, probes: Sequence[Probe]) -> None:
        """What shall arrive and does not is sent once more, for a busy machine may lose it; what shall not arrive and
        does is a failure at once, whenever it comes."""
        wanted: list[Probe] = []
        for probe in probes:
            allowed, who = self._oracle.judge(probe.source, probe.destination, probe.packet)
            if allowed:
                wanted.append(probe)
            else:
                self._forbidden[probe.number] = (probe, who)
                title = " ".join(who.partition(":")[0].split()[1:])
                self.tally.by_way[title] = self.tally.by_way.get(title, 0) + 1
        self.tally.packets += len(probes)
        self.tally.allowed += len(wanted)
        self._prober.send(probes)
        self._wait(wanted)
        for _ in range(3):
            missing = [probe for probe in wanted if (probe.destination, probe.number) not in self._arrived]
            if not missing:
                return
            self.tally.again += len(missing)
            wanted = [self._again(probe) for probe in missing]
            self._prober.send(wanted)
            self._wait(wanted, quiet=1.0)
        missing = [probe for probe in wanted if (probe.destination, probe.number) not in self._arrived]
        assert not missing, f"did not arrive: {missing[:5]} of {len(missing)}"

    def _again(self, probe: Probe) -> Probe:
        packet, ends = probe.packet, (probe.packet.source, probe.packet.destination)
        return self._probe(probe.source, probe.destination, ends, packet.protocol, packet.destination_port, packet.icmp)

    def _wait(self, wanted: Sequence[Probe], quiet: float = QUIET_SECONDS) -> None:
        missing = {(probe.destination, probe.number) for probe in wanted}

        def arrived(party: str, number: int) -> bool:
            self._arrived.add((party, number))
            missing.discard((party, number))
            if number in self._forbidden:
                probe, who = self._forbidden[number]
                raise AssertionError(f"arrived at {party} against {who}: {probe}")
            # What must not arrive would come last: only silence ends the wait.
            return False

        self._prober.collect(arrived, quiet, PATIENCE_SECONDS)


def load(table: KernelTable, brain: Brain) -> None:
    """One transaction."""
    plan = brain.table.ledger.plan()
    if plan:
        refused = table.apply(plan.commit, plan.prepare)
        assert not refused, f"the kernel refuses: {refused}"
    brain.table.ledger.settled(plan)


def flush(sock: Any) -> None:
    """Forget every conversation of a host."""
    sock.send(message(FLUSH_CONNTRACK, NLM_F_REQUEST | NLM_F_ACK, 1, struct.pack(">BBH", 0, 0, 0)))
    receive(sock, 30.0)
