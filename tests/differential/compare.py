"""Rounds of the differential test: change some resources, load the tables, send packets from everybody to everybody,
and compare what arrived with what the policy's verdict says."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.differential.net import Net
from tests.differential.oracle import Oracle, way
from tests.differential.plant import Plant
from tests.differential.probes import ICMP, ICMPV6, TCP, UDP, Probe
from tests.differential.resources import Source, addresses, made

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.resource import encode
from tortie.policy.hosts import Hosts
from tortie.policy.world import World

SERVICES = (
    *((TCP, port) for port in (80, 443, 8080, 22)),
    *((UDP, port) for port in (53, 80, 4000, 4789)),
)
ECHOES = ((8, 0), (8, 1), (13, 0)), ((128, 0), (128, 1))
CHANGES, CHANCE_OF_SETTINGS = 5, 0.2


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
    """One seed's history on a network that others may have used before."""

    def __init__(self, net: Net, seed: int) -> None:
        self.seed = seed
        self.tally = Tally()
        self._source = Source(seed)
        self._pick = self._source.pick
        self._addresses = addresses()
        self._plant = Plant(net)
        self._oracle = Oracle({name: brain.engine for name, brain in self._plant.brains.items()})
        for resource in self._source.first():
            self._plant.put(resource)
        self._plant.open()
        self._plant.load()

    def close(self) -> None:
        self._plant.close()

    def round(self) -> None:
        for _ in range(self._pick.randint(1, CHANGES)):
            resource, put = self._source.change()
            self._plant.put(resource, put)
            self.tally.policies += put and (resource.kind.name == "Profile" or "Policy" in resource.kind.name)
        if self._pick.random() < CHANCE_OF_SETTINGS:
            self._configure()
        self._plant.load()
        self._plant.forget(lambda probe: self._oracle.judge(probe.source, probe.destination, probe.packet)[0])
        probes = {probe: self._judge(probe) for probe in self._probes()}
        try:
            self._plant.compare(probes)
        except AssertionError as error:
            held = "\n".join(encode(resource).decode() for _, resource in sorted(self._plant.held.items()))
            raise AssertionError(f"seed {self.seed} round {self.tally.rounds}: {error}\n{held}") from error
        self.tally.rounds += 1
        self.tally.packets += len(probes)
        self.tally.allowed += sum(not who for who in probes.values())
        self.tally.again = self._plant.again

    def _configure(self) -> None:
        resource = made(FELIX_CONFIGURATION, self._source.settings(), "default")
        self._plant.put(resource)
        self._oracle.rules = Hosts(World([resource])).rules("")

    def _judge(self, probe: Probe) -> str:
        """Who says no; nothing when it is allowed."""
        allowed, who = self._oracle.judge(probe.source, probe.destination, probe.packet)
        if allowed:
            return ""
        title = " ".join(who.partition(":")[0].split()[1:])
        self.tally.by_way[title] = self.tally.by_way.get(title, 0) + 1
        return who

    def _probes(self) -> list[Probe]:
        """A packet of two kinds and one echo, of each family, between any two."""
        found = []
        for source, froms in self._addresses.items():
            for destination, tos in self._addresses.items():
                if source == destination or not way(source, destination):
                    continue
                for family in (0, 1):
                    ends = (froms[family], tos[family])
                    for protocol, port in self._pick.sample(SERVICES, 2):
                        found.append(self._plant.probe(source, destination, ends, protocol, port))
                    echo = self._pick.choice(ECHOES[family])
                    found.append(self._plant.probe(source, destination, ends, (ICMP, ICMPV6)[family], 0, echo))
        return found
