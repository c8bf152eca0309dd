"""The two hosts' brains and tables beside the network, and packets between its parties: no agent, no store."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from tests.differential.net import HOSTS, Net, within
from tests.differential.oracle import INTERFACES
from tests.differential.probes import TCP, UDP, Probe, Prober
from tests.differential.resources import addresses, made
from tests.kernel.netlab import inside

from tortie.base.errors import Invalid
from tortie.dataplane.kernel.codec import canonical_key
from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    attr,
    dump,
    message,
    open_socket,
    receive,
)
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.base import closed_table
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.resource import Resource, encode
from tortie.node.brain import Brain
from tortie.policy.verdict import Packet
from tortie.store.port import Event

LIST_CONNTRACK, FLUSH_CONNTRACK = (1 << 8) | 1, (1 << 8) | 2
TO_PORT = 3
FIRST_PORT, PORTS = 20000, 40000
QUIET_SECONDS, REFUSED_SECONDS, SURE_SECONDS, PATIENCE_SECONDS = 0.03, 0.2, 1.0, 30.0
AGAIN = 3
PROTOCOLS = {"tcp": TCP, "udp": UDP}


class Plant:
    """`held`: the resources by key. `close` ends the processes and leaves the tables; the network is another's."""

    def __init__(self, net: Net) -> None:
        self.held: dict[str, Resource[Any]] = {}
        self.brains = {name: Brain(name, f"{four}/24") for name, (four, _) in HOSTS.items()}
        self.tables = {name: KernelTable() for name in HOSTS}
        self.again = 0
        self.netns = net.netns
        self._conntrack = {name: within(net.netns[name], lambda: open_socket(NETLINK_NETFILTER)) for name in HOSTS}
        self._prober = Prober(net.netns)
        self._number = 0
        self._arrived: dict[tuple[str, int], str] = {}
        self._forbidden: dict[int, tuple[Probe, str]] = {}
        for name, brain in self.brains.items():
            brain.table.set_interfaces(INTERFACES[name])
        self.configure()

    def close(self) -> None:
        self._prober.close()
        for table in self.tables.values():
            table.close()
        for sock in self._conntrack.values():
            sock.close()

    def configure(self, **fields: Any) -> None:
        """FelixConfiguration `default`: workloads reach their host, and these settings."""
        spec = FelixConfigurationSpec(**{"default_endpoint_to_host_action": "Return", **fields})
        self.put(made(FELIX_CONFIGURATION, spec, "default"))

    def put(self, resource: Resource[Any], put: bool = True) -> None:
        """Or drop."""
        if put:
            self.held[resource.key] = resource
        else:
            self.held.pop(resource.key, None)
        for brain in self.brains.values():
            brain.learn(Event(resource.key, encode(resource) if put else None, 1))
            if unread := brain.unreadable:
                raise Invalid(f"the test made something unreadable: {unread}")

    def open(self) -> None:
        """Take the tables. What is there from before is what an agent finds after a restart. Nobody knows a neighbour
        yet: they are to be found while policy is in force."""
        for netns in self.netns.values():
            inside(netns, "ip", "neigh", "flush", "all")
            inside(netns, "ip", "-6", "neigh", "flush", "all")
        for name, brain in self.brains.items():
            within(self.netns[name], partial(self.tables[name].open, owner=True, closed=closed_table()))
            brain.table.ledger.learn(self.tables[name].read(), canonical_key)

    def load(self) -> None:
        """One transaction a host, then no conversation is known any more."""
        for name, brain in self.brains.items():
            plan = brain.table.ledger.plan()
            if plan:
                refused = self.tables[name].apply(plan.commit, plan.prepare)
                assert not refused, f"the kernel of {name} refuses: {refused}"
            brain.table.ledger.settled(plan)
        for sock in self._conntrack.values():
            sock.send(message(FLUSH_CONNTRACK, NLM_F_REQUEST | NLM_F_ACK, 1, struct.pack(">BBH", 0, 0, 0)))
            receive(sock, PATIENCE_SECONDS)

    def probe(
        self,
        source: str,
        destination: str,
        ends: tuple[str, str],
        protocol: int,
        port: int = 0,
        icmp: tuple[int, int] | None = None,
    ) -> Probe:
        """A new 5-tuple each time."""
        self._number += 1
        own = FIRST_PORT + self._number % PORTS if port else 0
        return Probe(self._number, source, destination, Packet(*ends, protocol, own, port, icmp))

    def compare(self, probes: Mapping[Probe, str]) -> None:
        """Send all at once. AssertionError unless exactly those arrive that nobody is named against.

        What shall arrive and does not is sent again, for a busy machine may lose it; what shall not arrive and does is
        a failure at once, whenever it comes.
        """
        self._forbidden |= {probe.number: (probe, who) for probe, who in probes.items() if who}
        wanted = [probe for probe, who in probes.items() if not who]
        self._prober.send(probes)
        self._wait(QUIET_SECONDS)
        for _ in range(AGAIN):
            if not (missing := self._missing(wanted)):
                return
            self.again += len(missing)
            wanted = [self._copy(probe) for probe in missing]
            self._prober.send(wanted)
            self._wait(SURE_SECONDS)
        missing = self._missing(wanted)
        assert not missing, f"{len(missing)} did not arrive, among them {missing[:5]}"

    def forget(self, allowed: Callable[[Probe], bool]) -> None:
        """A busy machine may hold a packet up beyond its round. It then meets the present policy, so only what that
        forbids as well must still not arrive."""
        for number, (probe, _) in list(self._forbidden.items()):
            if allowed(probe):
                del self._forbidden[number]

    def arrives(self, source: str, destination: str, what: str, **ends: Any) -> str:
        """The source that a packet (`tcp/80`, `udp/53`) came with; nothing if none of several came."""
        for _ in range(AGAIN):
            probe = self._one(source, destination, what, **ends)
            self._prober.send([probe])
            self._wait(PATIENCE_SECONDS / AGAIN, probe)
            if not self._missing([probe]):
                return self._arrived[(destination, probe.number)]
        return ""

    def refused(self, source: str, destination: str, what: str, **ends: Any) -> bool:
        """Whether such a packet does not come. If it does so later, whoever waits for another fails."""
        probe = self._one(source, destination, what, **ends)
        self._prober.send([probe])
        self._wait(REFUSED_SECONDS)
        self._forbidden[probe.number] = (probe, "what was seen")
        return bool(self._missing([probe]))

    def _one(
        self, source: str, destination: str, what: str, *, to: str = "", six: bool = False, own: str = ""
    ) -> Probe:
        """`to`: an address that is not the destination's own; `own`: likewise of the source."""
        protocol, _, port = what.partition("/")
        ends = (own or addresses()[source][six], to or addresses()[destination][six])
        return self.probe(source, destination, ends, PROTOCOLS[protocol], int(port))

    def tracked(self, host: str, port: int) -> int:
        """How many conversations to a port the host knows."""
        listed = dump(self._conntrack[host], LIST_CONNTRACK, struct.pack(">BBH", 0, 0, 0), 2)
        wanted = attr(TO_PORT, struct.pack(">H", port))
        return sum(wanted in part.body for part in listed)

    def _missing(self, probes: Iterable[Probe]) -> list[Probe]:
        return [probe for probe in probes if (probe.destination, probe.number) not in self._arrived]

    def _copy(self, probe: Probe) -> Probe:
        packet = probe.packet
        ends = (packet.source, packet.destination)
        return self.probe(probe.source, probe.destination, ends, packet.protocol, packet.destination_port, packet.icmp)

    def _wait(self, quiet: float, only: Probe | None = None) -> None:
        """Until nothing more arrives: only silence tells that what must not arrive does not. Or until `only` has."""

        def arrived(party: str, number: int, source: str) -> bool:
            self._arrived[(party, number)] = source
            if number in self._forbidden:
                probe, who = self._forbidden[number]
                raise AssertionError(f"arrived at {party} against {who}: {probe}")
            return only is not None and (party, number) == (only.destination, only.number)

        self._prober.collect(arrived, quiet, PATIENCE_SECONDS)
